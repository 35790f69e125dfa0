//! The command table against what Redis 7.0.15 says of itself.
//!
//! `fixtures/info.txt` and `fixtures/docs.txt` hold its COMMAND INFO and COMMAND DOCS replies, a
//! line for each command and subcommand of the table, without a container's subcommands. Sentences
//! (summaries, complexities, notes, history) are `*` there and masked here: ours are our own.

mod resp3;

use hexad_commands::{Args, Command, Handler, lookup};
use hexad_resp::{ArgRange, Proto, Reply};
use resp3::Value;

/// Map fields whose strings are sentences.
const SENTENCES: [&str; 5] = ["summary", "complexity", "notes", "replaced_by", "history"];

/// Runs a call of a command that needs nothing but its arguments.
fn call(args: &[&str]) -> Value {
    let buffer = args.concat().into_bytes();
    let mut end = 0;
    let ranges: Vec<ArgRange> = args
        .iter()
        .map(|arg| {
            end += arg.len();
            ArgRange::new(end - arg.len(), end)
        })
        .collect();
    let args = Args::new(&buffer, &ranges);
    let mut reply = Reply::new();
    reply.set_proto(Proto::Resp3);
    let command = lookup(&args[0])
        .expect("a known command")
        .resolve(&args)
        .expect("a good call");
    let Handler::Pure(handler) = command.handler else {
        panic!("{} is not pure", &command.name)
    };
    handler(&mut reply, &args);
    resp3::decode(reply.as_slice())
}

/// The text form of the fixtures: simple strings `+a`, bulk strings `a`, integers `:1`, null `_`,
/// arrays `[a b]`, sets `{a b}`, maps `(k=v k=v)`.
fn show(value: &Value, mask: bool) -> String {
    match value {
        Value::Simple(text) => format!("+{text}"),
        Value::Bulk(_) if mask => "*".to_owned(),
        Value::Bulk(text) => text.clone(),
        Value::Integer(value) => format!(":{value}"),
        Value::Null => "_".to_owned(),
        // Of a history entry the version stays.
        Value::Array(items) => {
            let show_item = |(index, item)| show(item, mask && index > 0);
            format!(
                "[{}]",
                items
                    .iter()
                    .enumerate()
                    .map(show_item)
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
        Value::Set(items) => {
            format!(
                "{{{}}}",
                items
                    .iter()
                    .map(|item| show(item, mask))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
        Value::Map(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .filter(|(name, _)| name != "subcommands")
                .map(|(name, value)| {
                    format!("{name}={}", show(value, SENTENCES.contains(&name.as_str())))
                })
                .collect();
            format!("({})", pairs.join(" "))
        }
        Value::Error(text) => panic!("{text}"),
    }
}

fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Command::all().map(Command::full_name).collect();
    names.sort_unstable();
    names
}

#[test]
fn command_info() {
    let fixture = include_str!("fixtures/info.txt");
    assert_eq!(fixture.lines().count(), names().len());
    for (name, expected) in names().into_iter().zip(fixture.lines()) {
        let Value::Array(mut entries) = call(&["COMMAND", "INFO", name]) else {
            panic!("{name}")
        };
        let Value::Array(fields) = &mut entries[0] else {
            panic!("{name}")
        };
        let subcommands = fields.pop();
        assert!(matches!(subcommands, Some(Value::Set(_))), "{name}");
        assert_eq!(show(&entries[0], false), expected);
    }
}

#[test]
fn command_docs() {
    let fixture = include_str!("fixtures/docs.txt");
    assert_eq!(fixture.lines().count(), names().len());
    for (name, expected) in names().into_iter().zip(fixture.lines()) {
        assert_eq!(show(&call(&["COMMAND", "DOCS", name]), false), expected);
    }
}

#[test]
fn sentences_are_there() {
    for command in Command::all() {
        let docs = command.docs;
        assert!(docs.summary.ends_with('.'), "{}", command.full_name());
        assert!(docs.history.iter().all(|(_, change)| change.ends_with('.')));
    }
}

#[test]
fn command_info_of_containers_lists_their_subcommands() {
    let Value::Array(entries) = call(&["COMMAND", "INFO", "object", "nosuch"]) else {
        panic!()
    };
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1], Value::Null);
    let Value::Array(fields) = &entries[0] else {
        panic!()
    };
    let Some(Value::Set(subcommands)) = fields.last() else {
        panic!()
    };
    let names: Vec<String> = subcommands
        .iter()
        .map(|entry| match entry {
            Value::Array(fields) => show(&fields[0], false),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "object|encoding",
        "object|freq",
        "object|help",
        "object|idletime",
        "object|refcount",
    ];
    assert_eq!(names, expected);
}

#[test]
fn command_without_names_describes_all() {
    let commands = Command::all()
        .filter(|command| !command.is_subcommand())
        .count();
    assert_eq!(call(&["COMMAND", "COUNT"]), Value::Integer(commands as i64));
    // Only LIST names subcommands, too.
    let entries_of = [
        (&["COMMAND"][..], commands),
        (&["COMMAND", "INFO"], commands),
        (&["COMMAND", "LIST"], Command::all().count()),
    ];
    for (call_of_all, expected) in entries_of {
        let Value::Array(entries) = call(call_of_all) else {
            panic!()
        };
        assert_eq!(entries.len(), expected, "{call_of_all:?}");
    }
    let Value::Map(entries) = call(&["COMMAND", "DOCS"]) else {
        panic!()
    };
    assert_eq!(entries.len(), commands);
    assert_eq!(call(&["COMMAND", "DOCS", "nosuch"]), Value::Map(vec![]));
}

#[test]
fn command_list_filters() {
    let list = |kind: &str, filter: &str| {
        show(&call(&["COMMAND", "LIST", "FILTERBY", kind, filter]), false)
    };
    assert_eq!(list("pattern", "*KEYSl*"), "[cluster|keyslot]");
    assert_eq!(list("PATTERN", "getex"), "[getex]");
    assert_eq!(list("module", "any"), "[]");
    assert_eq!(list("aclcat", "nosuch"), "[]");
    assert_eq!(list("aclcat", "@read"), "[]");
    assert_eq!(
        list("aclcat", "TRANSACTION"),
        "[discard exec multi unwatch watch]"
    );
    for bad in [
        &["COMMAND", "LIST", "x"][..],
        &["COMMAND", "LIST", "FILTERBY", "x", "y"],
    ] {
        assert_eq!(call(bad), Value::Error("ERR syntax error".to_owned()));
    }
}

/// Replies of Redis 7.0.15.
#[test]
fn command_getkeys() {
    for (call_of, expected) in [
        ("mset a 1 b", "[a b]"),
        ("MSET a 1 b 2", "[a b]"),
        ("get k", "[k]"),
        ("object encoding k", "[k]"),
        ("lcs a b len", "[a b]"),
        ("copy a b", "[a b]"),
        ("del a b c", "[a b c]"),
        ("client kill a", "ERR The command has no key arguments"),
        ("ping x y", "ERR The command has no key arguments"),
        ("nosuch a", "ERR Invalid command specified"),
        ("object nosuch k", "ERR Invalid command specified"),
        (
            "set k",
            "ERR Invalid number of arguments specified for command",
        ),
    ] {
        let args: Vec<&str> = ["COMMAND", "GETKEYS"]
            .into_iter()
            .chain(call_of.split(' '))
            .collect();
        let shown = match call(&args) {
            Value::Error(text) => text,
            keys => show(&keys, false),
        };
        assert_eq!(shown, expected, "{call_of}");
    }
}

#[test]
fn command_getkeysandflags() {
    for (call_of, expected) in [
        ("set k v", "[[k {+OW +update}]]"),
        ("set k v ex 10 GET", "[[k {+RW +access +update}]]"),
        ("copy a b", "[[a {+RO +access}] [b {+OW +update}]]"),
        ("unlink a b", "[[a {+RM +delete}] [b {+RM +delete}]]"),
    ] {
        let args: Vec<&str> = ["COMMAND", "GETKEYSANDFLAGS"]
            .into_iter()
            .chain(call_of.split(' '))
            .collect();
        assert_eq!(show(&call(&args), false), expected, "{call_of}");
    }
}

#[test]
fn help_and_other_pure_commands() {
    for command in [
        "client", "cluster", "command", "config", "memory", "object", "slowlog",
    ] {
        let Value::Array(lines) = call(&[command, "help"]) else {
            panic!("{command}")
        };
        let head = format!(
            "+{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            command.to_uppercase()
        );
        assert_eq!(show(&lines[0], false), head);
        assert_eq!(
            show(&lines[lines.len() - 1], false),
            "+    Prints this help."
        );
    }
    assert_eq!(call(&["ping"]), Value::Simple("PONG".to_owned()));
    assert_eq!(call(&["ping", "x"]), Value::Bulk("x".to_owned()));
    assert_eq!(call(&["echo", "x"]), Value::Bulk("x".to_owned()));
}
