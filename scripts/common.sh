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

# need PROGRAM PACKAGE: installs the Debian package if the program is missing.
need() {
    command -v "$1" >/dev/null || install_package "$2"
}

# Installs a Debian package. No service that it brings is started.
install_package() {
    local policy=/usr/sbin/policy-rc.d own_policy='' result=0
    command -v apt-get >/dev/null || fail "the package $1 is needed, and there is no apt-get"
    say "installing $1 ..."
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        own_policy=yes
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$1" >/dev/null || result=$?
    [[ -z $own_policy ]] || as_root rm -f "$policy"
    ((result == 0)) || fail "$1 cannot be installed"
}
