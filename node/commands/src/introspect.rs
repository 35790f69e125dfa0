//! COMMAND and its subcommands: what the table tells clients about itself.
//!
//! Replies have the facts and the form of Redis 7.0. What differs: commands come in the table's
//! order (Redis: in that of its hash table), sentences are our own, and there are only the commands
//! that exist here.

use hexad_resp::Reply;

use crate::command::Command;
use crate::docs::{Arg, Docs};
use crate::flags::AclCategories;
use crate::keys::{BeginSearch, FindKeys, KeyFlags, KeySpec, Keys};
use crate::table::{TOP_LEVEL, lookup, top_level};
use crate::{Args, glob};

/// `COMMAND`
pub(crate) fn command(reply: &mut Reply, _args: &Args<'_>) {
    reply.array(TOP_LEVEL);
    for command in top_level() {
        write_info(reply, command);
    }
}

/// `COMMAND COUNT`
pub(crate) fn count(reply: &mut Reply, _args: &Args<'_>) {
    reply.integer(TOP_LEVEL as i64);
}

/// `COMMAND INFO [name ...]`: null for a name that there is no command of.
pub(crate) fn info(reply: &mut Reply, args: &Args<'_>) {
    let names = args.slice(2);
    if names.is_empty() {
        return command(reply, args);
    }
    reply.array(names.len());
    for name in names {
        match lookup_full(name) {
            Some(command) => write_info(reply, command),
            None => reply.null(),
        }
    }
}

/// `COMMAND DOCS [name ...]`: names that there is no command of are left out.
pub(crate) fn docs(reply: &mut Reply, args: &Args<'_>) {
    let names = args.slice(2);
    if names.is_empty() {
        return write_docs_of(reply, top_level().iter());
    }
    write_docs_of(reply, names.iter().filter_map(lookup_full));
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub(crate) fn list(reply: &mut Reply, args: &Args<'_>) {
    if args.len() == 2 {
        return write_names(reply, Command::all());
    }
    if args.len() != 5 || !args[2].eq_ignore_ascii_case(b"filterby") {
        return reply.error("ERR syntax error");
    }
    let filter = &args[4];
    if args[3].eq_ignore_ascii_case(b"module") {
        // No command comes from a module.
        reply.array(0);
    } else if args[3].eq_ignore_ascii_case(b"aclcat") {
        let category = AclCategories::by_name(filter).unwrap_or(AclCategories::empty());
        write_names(
            reply,
            Command::all().filter(|command| command.acl.intersects(category)),
        );
    } else if args[3].eq_ignore_ascii_case(b"pattern") {
        let matches =
            |command: &&Command| glob::matches_nocase(filter, command.full_name().as_bytes());
        write_names(reply, Command::all().filter(matches));
    } else {
        reply.error("ERR syntax error");
    }
}

/// `COMMAND GETKEYS command [arg ...]`
pub(crate) fn getkeys(reply: &mut Reply, args: &Args<'_>) {
    let call = args.slice(2);
    match keys_of(&call) {
        Ok(keys) => {
            reply.array(keys.len());
            for (index, _) in keys.iter() {
                reply.bulk(&call[index]);
            }
        }
        Err(text) => reply.error(text),
    }
}

/// `COMMAND GETKEYSANDFLAGS command [arg ...]`
pub(crate) fn getkeysandflags(reply: &mut Reply, args: &Args<'_>) {
    let call = args.slice(2);
    match keys_of(&call) {
        Ok(keys) => {
            reply.array(keys.len());
            for (index, flags) in keys.iter() {
                reply.array(2);
                reply.bulk(&call[index]);
                write_key_flags(reply, flags);
            }
        }
        Err(text) => reply.error(text),
    }
}

/// The command that `name` spells in full: `get`, `client|kill`.
fn lookup_full(name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.splitn(2, |&byte| byte == b'|');
    let command = lookup(parts.next()?)?;
    match parts.next() {
        Some(subcommand) => command.subcommand(subcommand),
        None => Some(command),
    }
}

fn keys_of(call: &Args<'_>) -> Result<Keys, &'static str> {
    let command = call
        .get(0)
        .and_then(lookup)
        .ok_or("ERR Invalid command specified")?;
    let command = match call.get(1) {
        Some(name) if !command.subcommands().is_empty() => command
            .subcommand(name)
            .ok_or("ERR Invalid command specified")?,
        _ => command,
    };
    if !command.has_keys() {
        return Err("ERR The command has no key arguments");
    }
    if !command.accepts(call.len()) {
        return Err("ERR Invalid number of arguments specified for command");
    }
    command
        .keys(call)
        .map_err(|_| "ERR Invalid arguments specified for command")
}

fn write_names(reply: &mut Reply, commands: impl Iterator<Item = &'static Command>) {
    let begin = reply.begin_deferred();
    let mut count = 0;
    for command in commands {
        reply.bulk(command.full_name().as_bytes());
        count += 1;
    }
    reply.set_deferred_array(begin, count);
}

/// A set of simple strings.
fn write_flags<'a>(reply: &mut Reply, names: impl Iterator<Item = &'a str> + Clone) {
    reply.set(names.clone().count());
    for name in names {
        reply.simple(name);
    }
}

/// One entry of COMMAND INFO.
fn write_info(reply: &mut Reply, command: &Command) {
    let (first, last, step) = legacy_range(command);
    reply.array(10);
    reply.bulk(command.full_name().as_bytes());
    reply.integer(command.arity.into());
    write_flags(reply, command.flags.names());
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    write_categories(reply, command.acl);
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(command.key_specs.len());
    for spec in command.key_specs {
        write_key_spec(reply, spec);
    }
    reply.set(command.subcommands().len());
    for subcommand in command.subcommands() {
        write_info(reply, subcommand);
    }
}

fn write_categories(reply: &mut Reply, acl: AclCategories) {
    reply.set(acl.names().count());
    for name in acl.names() {
        reply.simple(&format!("@{name}"));
    }
}

/// First key, last key and step as Redis before 7.0 told them: of one range from the first key spec
/// on to the last one that continues it; zeros when there is none.
fn legacy_range(command: &Command) -> (i64, i64, i64) {
    let (mut first, mut last, mut step) = (i64::MAX, 0, 0);
    let mut previous_last = 0;
    for spec in command.key_specs {
        let (
            BeginSearch::Index(index),
            FindKeys::Range {
                last_key,
                step: spec_step,
                limit: 0 | 1,
            },
        ) = (spec.begin, spec.find)
        else {
            continue;
        };
        let (index, spec_step, last_key) =
            (i64::from(index), i64::from(spec_step), i64::from(last_key));
        if previous_last != 0 && previous_last != index - spec_step {
            // Does not continue the range: an old client cannot be told of it.
            continue;
        }
        first = first.min(index);
        step = spec_step;
        let absolute = if last_key >= 0 {
            index + last_key
        } else {
            last_key
        };
        last = if last < 0 || absolute < 0 {
            absolute.min(last)
        } else {
            last.max(absolute)
        };
        previous_last = absolute;
    }
    match first {
        i64::MAX => (0, 0, 0),
        first => (first, last, step),
    }
}

fn write_key_flags(reply: &mut Reply, flags: KeyFlags) {
    write_flags(reply, flags.names());
}

fn write_key_spec(reply: &mut Reply, spec: &KeySpec) {
    reply.map(3 + usize::from(spec.notes.is_some()));
    if let Some(notes) = spec.notes {
        reply.bulk(b"notes");
        reply.bulk(notes.as_bytes());
    }
    reply.bulk(b"flags");
    write_key_flags(reply, spec.flags);
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => write_step(reply, "index", &[("index", index.into())]),
        BeginSearch::Keyword {
            keyword,
            start_from,
        } => {
            write_step_head(reply, "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(keyword.as_bytes());
            reply.bulk(b"startfrom");
            reply.integer(start_from.into());
        }
        BeginSearch::Unknown => write_step(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range {
            last_key,
            step,
            limit,
        } => write_step(
            reply,
            "range",
            &[
                ("lastkey", last_key.into()),
                ("keystep", step.into()),
                ("limit", limit.into()),
            ],
        ),
        FindKeys::KeyNum {
            key_num_index,
            first_key,
            step,
        } => write_step(
            reply,
            "keynum",
            &[
                ("keynumidx", key_num_index.into()),
                ("firstkey", first_key.into()),
                ("keystep", step.into()),
            ],
        ),
        FindKeys::Unknown => write_step(reply, "unknown", &[]),
    }
}

fn write_step(reply: &mut Reply, kind: &str, fields: &[(&str, i64)]) {
    write_step_head(reply, kind, fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}

fn write_step_head(reply: &mut Reply, kind: &str, fields: usize) {
    reply.map(2);
    write_field(reply, "type", kind);
    reply.bulk(b"spec");
    reply.map(fields);
}

fn write_field(reply: &mut Reply, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

/// A map of command names to their documentation.
fn write_docs_of(reply: &mut Reply, commands: impl Iterator<Item = &'static Command>) {
    let begin = reply.begin_deferred();
    let mut count = 0;
    for command in commands {
        reply.bulk(command.full_name().as_bytes());
        write_docs(reply, command);
        count += 1;
    }
    reply.set_deferred_map(begin, count);
}

/// One entry of COMMAND DOCS.
fn write_docs(reply: &mut Reply, command: &'static Command) {
    let Docs {
        summary,
        since,
        group,
        complexity,
        syscmd,
        deprecated,
        history,
        args,
    } = command.docs;
    let begin = reply.begin_deferred();
    let mut fields = 4;
    write_field(reply, "summary", summary);
    write_field(reply, "since", since);
    write_field(reply, "group", group.name());
    if complexity.is_empty() {
        fields -= 1;
    } else {
        write_field(reply, "complexity", complexity);
    }
    if syscmd || deprecated.is_some() {
        fields += 1;
        reply.bulk(b"doc_flags");
        let flags = [(deprecated.is_some(), "deprecated"), (syscmd, "syscmd")];
        write_flags(
            reply,
            flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name),
        );
    }
    if let Some(deprecated) = deprecated {
        fields += 2;
        write_field(reply, "deprecated_since", deprecated.since);
        write_field(reply, "replaced_by", deprecated.replaced_by);
    }
    if !history.is_empty() {
        fields += 1;
        reply.bulk(b"history");
        reply.set(history.len());
        for (version, change) in history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !args.is_empty() {
        fields += 1;
        reply.bulk(b"arguments");
        write_args(reply, args);
    }
    if !command.subcommands().is_empty() {
        fields += 1;
        reply.bulk(b"subcommands");
        write_docs_of(reply, command.subcommands().iter());
    }
    reply.set_deferred_map(begin, fields);
}

fn write_args(reply: &mut Reply, args: &[Arg]) {
    reply.array(args.len());
    for arg in args {
        write_arg(reply, arg);
    }
}

fn write_arg(reply: &mut Reply, arg: &Arg) {
    let flags = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name);
    let begin = reply.begin_deferred();
    let mut fields = 2;
    write_field(reply, "name", arg.name);
    write_field(reply, "type", arg.kind.name());
    if let Some(spec) = arg.key_spec {
        fields += 1;
        reply.bulk(b"key_spec_index");
        reply.integer(spec.into());
    }
    for (name, value) in [
        ("token", arg.token),
        ("since", arg.since),
        ("deprecated_since", arg.deprecated_since),
    ] {
        if let Some(value) = value {
            fields += 1;
            write_field(reply, name, value);
        }
    }
    if flags.clone().next().is_some() {
        fields += 1;
        reply.bulk(b"flags");
        write_flags(reply, flags);
    }
    if !arg.args.is_empty() {
        fields += 1;
        reply.bulk(b"arguments");
        write_args(reply, arg.args);
    }
    reply.set_deferred_map(begin, fields);
}
