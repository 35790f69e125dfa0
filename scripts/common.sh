# Shared by the scripts here; sourced, not run.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# need PROGRAM PACKAGE: installs the Debian package if the program is missing. No service that the
# package brings is started.
need() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null || fail "$1 is missing: install $2"
    say "installing $2 ..."
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        own_policy=yes
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" \
        >/dev/null || { [[ -z $own_policy ]] || as_root rm -f "$policy"; fail "$2 cannot be installed"; }
    [[ -z $own_policy ]] || as_root rm -f "$policy"
}
