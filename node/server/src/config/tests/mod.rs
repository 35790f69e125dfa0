//! hexad's configuration beside that of redis-server 7.0.15, whose answers are kept in `fixtures/`.
//!
//! `cargo test -p hexad-server -- --ignored record_stock_answers` asks a redis-server in the path again.

mod questions;
mod stock;

use std::path::PathBuf;

use questions::{SPECIAL, common_values};

use super::table::DIRECTIVES;
use super::words::split;
use super::*;

#[test]
fn defaults_are_stocks() {
    let config = Config::default();
    let mut checked = 0;
    for record in records(include_str!("../fixtures/defaults.txt")) {
        let [name, value] = &record[..] else {
            panic!("{record:?}")
        };
        if ["io-threads", "disable-thp"].contains(&&**name) {
            continue;
        }
        assert_eq!(get(&config, name), Some(value.clone()), "{name}");
        checked += 1;
    }
    assert_eq!(checked, 192);
}

/// Each record: a value, stock's reason to refuse it (empty: it does not), the value then shown if it was taken, and
/// the directives of which that is true. The order is that in which stock was asked.
#[test]
fn set_answers_as_stock_does() {
    let mut config = Config::from_text(b"enable-protected-configs yes").unwrap();
    let mut checked = 0;
    for record in records(include_str!("../fixtures/set.txt")) {
        let [value, reason, after, names @ ..] = &record[..] else {
            panic!("{record:?}")
        };
        for name in names {
            assert_eq!(
                set(&mut config, name, value),
                *reason,
                "CONFIG SET {name} {value:?}"
            );
            if reason.is_empty() {
                assert_eq!(
                    get(&config, name).as_ref(),
                    Some(after),
                    "CONFIG GET {name} after {value:?}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 7000, "{checked}");
}

#[test]
fn lines_are_refused_as_by_stock() {
    for record in records(include_str!("../fixtures/lines.txt")) {
        let [line, reason] = &record[..] else {
            panic!("{record:?}")
        };
        let ours = match Config::from_text(line.as_bytes()) {
            Ok(_) => String::new(),
            Err(StartError::Line {
                number: 1, reason, ..
            }) => reason,
            Err(error) => panic!("{line}: {error}"),
        };
        assert_eq!(ours, *reason, "{line}");
    }
}

#[test]
fn a_set_of_several_is_all_or_nothing() {
    let config = Config::default();
    let reply = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(&[u8], &[u8])> = pairs
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        match config.set(
            &pairs,
            SetContext {
                client_is_local: true,
                loading: true,
            },
        ) {
            Ok((new, changed)) => format!("{} {} {changed:?}", new.timeout_s, new.maxclients),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(
        reply(&[("timeout", "5"), ("MAXCLIENTS", "7")]),
        "5 7 [Timeout, Maxclients]"
    );
    assert_eq!(reply(&[("timeout", "0")]), "0 10000 []");
    assert_eq!(
        reply(&[("timeout", "5"), ("Maxclients", "x")]),
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer"
    );
    assert_eq!(
        reply(&[("timeout", "x"), ("bo\r\ngus", "7")]),
        "ERR Unknown option or number of arguments for CONFIG SET - 'bo  gus'"
    );
    assert_eq!(
        reply(&[("timeout", "5"), ("TIMEOUT", "7")]),
        "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter"
    );
    assert_eq!(
        reply(&[("daemonize", "x"), ("timeout", "x")]),
        "ERR CONFIG SET failed (possibly related to argument 'daemonize') - can't set immutable config"
    );
    assert_eq!(
        reply(&[("dir", "/tmp")]),
        "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"
    );
    assert_eq!(
        reply(&[("appendonly", "yes")]),
        "LOADING Redis is loading the dataset in memory"
    );
    assert_eq!(
        reply(&[("slave-priority", "x")]),
        "ERR CONFIG SET failed (possibly related to argument 'slave-priority') - argument couldn't be parsed into an integer"
    );
    assert_eq!(
        reply(&[("slave-priority", "1"), ("replica-priority", "2")]),
        "0 10000 [ReplicaPriority]"
    );
}

#[test]
fn get_answers_patterns_and_names() {
    let config = Config::default();
    let names = |patterns: &[&str]| {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        config
            .get(&patterns)
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&["TIMEOUT"]), ["TIMEOUT"]);
    assert_eq!(names(&["timeout", "Time*", "TIMEOUT"]), ["timeout"]);
    assert_eq!(
        names(&["*priority*"]),
        ["replica-priority", "slave-priority"]
    );
    assert_eq!(names(&["slave-prio*"]), ["slave-priority"]);
    assert_eq!(names(&["key-load*", "bogus"]), [] as [&str; 0]);
    assert_eq!(names(&["key-load-delay"]), ["key-load-delay"]);
}

#[test]
fn directives_without_effect_are_known() {
    let text =
        b"maxmemory 1gb\nslave-priority 5\nappendonly no\ntimeout 5\nrename-command get \"\"\n\
                 user default on nopass sanitize-payload ~* &* +@all\nuser x on\n";
    let config = Config::from_text(text).unwrap();
    assert_eq!(
        config.without_effect(),
        ["maxmemory", "rename-command", "user"]
    );
    assert_eq!(Config::default().without_effect(), [] as [&str; 0]);
}

#[test]
fn settings_are_read_from_the_values() {
    let text = b"bind 127.0.0.1 -::1\nport 7001\nunixsocketperm 700\nrequirepass \"\"\nloglevel verbose\n\
                 client-output-buffer-limit replica 1kb 2kb 3\ncluster-enabled yes\ncluster-announce-hostname a.b\n\
                 cluster-preferred-endpoint-type hostname\nmaxmemory-policy volatile-lfu\ndaemonize yes\nhz 1000\n";
    let config = Config::from_text(text).unwrap();
    assert_eq!(config.bind.len(), 2);
    assert!(config.bind[1].optional && config.bind[1].address == "::1");
    assert_eq!(
        (config.port, config.bus_port(), config.unixsocketperm),
        (7001, Some(17001), 0o700)
    );
    assert_eq!(
        (config.requirepass.clone(), config.loglevel, config.hz),
        (None, LogLevel::Verbose, 500)
    );
    let limit = OutputBufferLimit {
        hard_bytes: 1024,
        soft_bytes: 2048,
        soft_seconds: 3,
    };
    assert_eq!(
        config.client_output_buffer_limit[ClientClass::Replica as usize],
        limit
    );
    assert!(config.cluster.enabled && config.maxmemory_policy.is_lfu());
    assert_eq!(config.cluster.announce_hostname.as_deref(), Some("a.b"));
    assert_eq!(config.cluster.preferred_endpoint, EndpointType::Hostname);
    assert_eq!(
        config.effective_pidfile(),
        Some(PathBuf::from("/var/run/redis.pid"))
    );
}

#[test]
fn includes_are_read_in_place() {
    let folder = std::env::temp_dir().join(format!("hexad-include-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("a1.conf", "timeout 1\nmaxclients 1\n");
    write("a2.conf", "\ntimeout 2\nport x\n");
    write("loop.conf", "include loop.conf\n");
    let load =
        |text: &str| Config::from_text(format!("dir {}\n{text}", folder.display()).as_bytes());

    let config = load("timeout 9\ninclude a1.conf\nmaxclients 9\ninclude none*.conf\n").unwrap();
    assert_eq!((config.timeout_s, config.maxclients), (1, 9));
    let error = load("include a*.conf").unwrap_err().to_string();
    assert!(
        error.ends_with("at line 3\n>>> 'port x'\nargument couldn't be parsed into an integer"),
        "{error}"
    );
    let error = load("include none.conf").unwrap_err().to_string();
    assert_eq!(
        error,
        "Fatal error, can't open config file 'none.conf': No such file or directory"
    );
    let error = load("include loop.conf").unwrap_err().to_string();
    assert!(
        error.ends_with("include is nested deeper than 16 files"),
        "{error}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Any text is either refused or understood, and what is understood is written so that it is understood again.
#[test]
fn mutated_files_round_trip() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let names: Vec<&str> = DIRECTIVES
        .iter()
        .flat_map(Directive::names)
        .filter(|name| *name != "logfile")
        .collect();
    let values: Vec<&str> = common_values()
        .chain(
            SPECIAL
                .iter()
                .flat_map(|(_, values)| values.iter().copied()),
        )
        .collect();
    let mut understood = 0;
    for _ in 0..5_000 {
        let (special, its_values) = SPECIAL[random(SPECIAL.len())];
        let mut line = match random(2) {
            0 => format!(
                "{} {}",
                names[random(names.len())],
                values[random(values.len())]
            ),
            _ => format!("{special} {}", its_values[random(its_values.len())]),
        }
        .into_bytes();
        if random(2) == 0 {
            let place = random(line.len());
            line[place] = random(256) as u8;
        }
        if line
            .windows(7)
            .any(|window| matches!(window, b"include" | b"logfile"))
        {
            continue;
        }
        let Ok(config) = Config::from_text(&line) else {
            continue;
        };
        let text = config.rewrite(b"");
        let again = Config::from_text(&text);
        let shown = String::from_utf8_lossy(&text);
        assert_eq!(
            again
                .unwrap_or_else(|error| panic!("{shown}: {error}"))
                .values,
            config.values,
            "{shown}"
        );
        understood += 1;
    }
    assert!(understood > 1000, "{understood}");
}

fn get(config: &Config, name: &str) -> Option<String> {
    let (_, value) = config.get(&[name.as_bytes()]).pop()?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

fn set(config: &mut Config, name: &str, value: &str) -> String {
    let context = SetContext {
        client_is_local: true,
        loading: false,
    };
    match config.set(&[(name.as_bytes(), value.as_bytes())], context) {
        Ok((new, _)) => {
            *config = new;
            String::new()
        }
        Err(SetError::Refused { reason, .. }) => reason,
        Err(error) => panic!("{error}"),
    }
}

fn records(fixture: &str) -> impl Iterator<Item = Vec<String>> {
    fixture.lines().map(|line| {
        let fields = split(line.as_bytes()).unwrap();
        fields
            .into_iter()
            .map(|field| String::from_utf8(field).unwrap())
            .collect()
    })
}
