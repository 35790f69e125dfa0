//! Facts about how a key is stored: OBJECT, MEMORY USAGE.

use hexad_resp::{Args, Reply, parse_i64};
use hexad_store::{Entry, ValueRef, lfu_counter, lru_clock, lru_idle_ms};

use super::errors::{NOT_AN_INTEGER, SYNTAX};
use crate::Ctx;

const LFU_SELECTED: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please \
     note that when switching between policies at runtime LRU and LFU data will take some time to \
     adjust.";
const LFU_NOT_SELECTED: &str = "ERR An LFU maxmemory policy is not selected, access frequency not \
     tracked. Please note that when switching between policies at runtime LRU and LFU data will \
     take some time to adjust.";

/// Redis keeps one shared object for each integer below this.
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count that it says a shared object has.
const SHARED_REFCOUNT: i64 = i32::MAX as i64;
/// What an entry's cell in the table takes, in bytes.
const CELL_BYTES: usize = 8;

/// `OBJECT ENCODING key`
pub fn object_encoding(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    describe(ctx, args, |entry, reply| {
        reply.bulk(entry.encoding().name().as_bytes())
    });
}

/// `OBJECT REFCOUNT key`
pub fn object_refcount(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    describe(ctx, args, |entry, reply| reply.integer(refcount(entry)));
}

/// `OBJECT IDLETIME key`
pub fn object_idletime(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let (lfu, now_ms) = (ctx.env.lfu, ctx.now_ms);
    describe(ctx, args, |entry, reply| {
        if lfu {
            reply.error(LFU_SELECTED)
        } else {
            reply.integer(idle_seconds(entry, now_ms))
        }
    });
}

/// `OBJECT FREQ key`
pub fn object_freq(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let (env, now_ms) = (ctx.env, ctx.now_ms);
    describe(ctx, args, |entry, reply| {
        if env.lfu {
            reply.integer(lfu_counter(entry.access(), now_ms, env.lfu_settings()).into());
        } else {
            reply.error(LFU_NOT_SELECTED);
        }
    });
}

/// Looks a key up without counting as an access; null if it is missing.
fn describe(ctx: &mut Ctx<'_>, args: &Args<'_>, show: impl FnOnce(&Entry, &mut Reply)) {
    let key = ctx.first_key(&args[2]);
    ctx.peek(key, |entry, reply| match entry {
        Some(entry) => show(entry, reply),
        None => reply.null(),
    });
}

/// What Redis says for a value of this form. Nothing is shared here.
pub(super) fn refcount(entry: &Entry) -> i64 {
    match entry.value() {
        ValueRef::Int(0..SHARED_INTEGERS) => SHARED_REFCOUNT,
        _ => 1,
    }
}

/// Whole seconds since the last access, under an LRU policy.
pub(super) fn idle_seconds(entry: &Entry, now_ms: i64) -> i64 {
    (lru_idle_ms(entry.access(), lru_clock(now_ms)) / 1000) as i64
}

/// `MEMORY USAGE key [SAMPLES count]`
///
/// Sees an expired key that nobody has accessed yet, as Redis does.
pub fn memory_usage(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    if let Err(text) = check_samples(args.slice(3)) {
        return ctx.reply.error(text);
    }
    let key = ctx.first_key(&args[2]);
    match ctx.partition.db(ctx.db).get(key.bytes, key.hash) {
        Some(entry) => ctx
            .reply
            .integer((entry.memory_bytes() + CELL_BYTES) as i64),
        None => ctx.reply.null(),
    }
}

/// The number of samples matters for aggregates only; it must still be right.
fn check_samples(args: Args<'_>) -> Result<(), &'static str> {
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        let samples = option
            .eq_ignore_ascii_case(b"samples")
            .then(|| rest.next())
            .flatten();
        let samples = parse_i64(samples.ok_or(SYNTAX)?).ok_or(NOT_AN_INTEGER)?;
        if samples < 0 {
            return Err(SYNTAX);
        }
    }
    Ok(())
}

/// The lines of `OBJECT HELP`; subcommands as stock clients look for them, descriptions our own.
pub const OBJECT_HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Name of the representation in which the value of <key> is stored.",
    "FREQ <key>",
    "    Access frequency of <key> on a logarithmic scale (LFU policies only).",
    "IDLETIME <key>",
    "    Seconds since the last access to <key> (not under an LFU policy).",
    "REFCOUNT <key>",
    "    Number of references to the value of <key>.",
    "HELP",
    "    Prints this help.",
];

/// `OBJECT HELP`
pub fn object_help(reply: &mut Reply, _args: &Args<'_>) {
    reply.array(OBJECT_HELP.len());
    for line in OBJECT_HELP {
        reply.simple(line);
    }
}
