//! Commands over all partitions: KEYS, DBSIZE, RANDOMKEY, FLUSHDB, FLUSHALL, SWAPDB; and what
//! CLUSTER asks of one slot.

use hexad_resp::{Args, parse_i64};
use hexad_store::Partition;
use rand::Rng;

use super::errors::{DB_OUT_OF_RANGE, SYNTAX};
use crate::context::{Expiry, Keyspace, KeyspaceCtx};
use crate::glob;

const SWAPDB_IN_CLUSTER: &str = "ERR SWAPDB is not allowed in cluster mode";
const INVALID_FIRST_DB: &str = "ERR invalid first DB index";
const INVALID_SECOND_DB: &str = "ERR invalid second DB index";

/// How often RANDOMKEY tries for a key that is not expired, where it may not delete the others: on
/// a replica whose keys may all be expired.
const RANDOM_KEY_TRIES: usize = 100;

/// `KEYS pattern`
pub fn keys(ctx: &mut KeyspaceCtx<'_>, args: &Args<'_>) {
    let pattern = (&args[1] != b"*").then_some(&args[1]);
    let mut found = 0;
    let begin = ctx.reply.begin_deferred();
    for_each_non_empty(ctx.keyspace, |partition| {
        for entry in partition.db(ctx.db).iter() {
            let matches = pattern.is_none_or(|pattern| glob::matches(pattern, entry.key()));
            if matches && !entry.is_expired(ctx.now_ms) {
                ctx.reply.bulk(entry.key());
                found += 1;
            }
        }
    });
    ctx.reply.set_deferred_array(begin, found);
}

/// `DBSIZE`: expired keys that are still there count, as in Redis.
pub fn dbsize(ctx: &mut KeyspaceCtx<'_>, _args: &Args<'_>) {
    let mut total = 0;
    for_each_non_empty(ctx.keyspace, |partition| {
        total += partition.db(ctx.db).len()
    });
    ctx.reply.integer(total as i64);
}

/// `RANDOMKEY`
pub fn randomkey(ctx: &mut KeyspaceCtx<'_>, _args: &Args<'_>) {
    let mut tries = 0;
    while let Some(index) = random_partition(ctx) {
        tries += 1;
        let give_up = ctx.env.expiry != Expiry::Deletes && tries >= RANDOM_KEY_TRIES;
        let (keyspace, mut answered) = (ctx.keyspace, false);
        keyspace.visit(index, &mut |partition| {
            answered = reply_random_key(ctx, partition, give_up);
        });
        if answered {
            return;
        }
    }
    ctx.reply.null();
}

/// A partition, each with a probability in proportion to its keys: one pass, in which each
/// partition replaces the earlier choice with the probability of its share so far. A shortcut by
/// sampling would favour the keys of small slots.
fn random_partition(ctx: &mut KeyspaceCtx<'_>) -> Option<usize> {
    let (mut chosen, mut total) = (None, 0);
    for index in 0..ctx.keyspace.partitions() {
        if !ctx.keyspace.maybe_non_empty(index) {
            continue;
        }
        let mut len = 0;
        ctx.keyspace
            .visit(index, &mut |partition| len = partition.db(ctx.db).len());
        total += len;
        if len > 0 && ctx.rng.random_range(0..total) < len {
            chosen = Some(index);
        }
    }
    chosen
}

/// Replies a random key of the partition; if it is expired, deletes it instead and returns false,
/// or keeps it where this node may not (and replies it all the same if it is time to give up).
fn reply_random_key(ctx: &mut KeyspaceCtx<'_>, partition: &mut Partition, give_up: bool) -> bool {
    let Some(entry) = partition.db(ctx.db).random(ctx.rng) else {
        return false;
    };
    if give_up || !entry.is_expired(ctx.now_ms) {
        ctx.reply.bulk(entry.key());
        return true;
    }
    let key = entry.key().to_vec();
    ctx.delete_expired(partition, &key);
    false
}

/// `FLUSHDB [ASYNC | SYNC]`
pub fn flushdb(ctx: &mut KeyspaceCtx<'_>, args: &Args<'_>) {
    if !flush_options_are_valid(args) {
        return ctx.reply.error(SYNTAX);
    }
    let db = ctx.db;
    flush(ctx, args, |_| db..db + 1);
    // Replicas get it even if there was nothing; it counts for what there was.
    ctx.propagate_verbatim();
    ctx.reply.ok();
}

/// `FLUSHALL [ASYNC | SYNC]`
pub fn flushall(ctx: &mut KeyspaceCtx<'_>, args: &Args<'_>) {
    if !flush_options_are_valid(args) {
        return ctx.reply.error(SYNTAX);
    }
    flush(ctx, args, |partition| 0..partition.databases());
    ctx.propagate_verbatim();
    ctx.reply.ok();
}

fn flush_options_are_valid(args: &Args<'_>) -> bool {
    let mode = args.get(1).unwrap_or(b"sync");
    args.len() <= 2 && (mode.eq_ignore_ascii_case(b"sync") || mode.eq_ignore_ascii_case(b"async"))
}

/// Empties databases, one partition after the other. What was in them is freed under no lock, and
/// with ASYNC wherever the keyspace pleases.
fn flush(
    ctx: &mut KeyspaceCtx<'_>,
    args: &Args<'_>,
    databases: impl Fn(&Partition) -> std::ops::Range<usize>,
) {
    let later = match args.get(1) {
        Some(mode) => mode.eq_ignore_ascii_case(b"async"),
        None => ctx.env.lazy_user_flush,
    };
    let (keyspace, effects) = (ctx.keyspace, &mut *ctx.effects);
    for index in 0..keyspace.partitions() {
        let mut garbage = Vec::new();
        if keyspace.maybe_non_empty(index) {
            keyspace.visit(index, &mut |partition| {
                garbage.extend(databases(partition).map(|db| partition.flush(db)));
            });
        }
        effects.dirty += garbage
            .iter()
            .map(|flushed| flushed.len() as u64)
            .sum::<u64>();
        if later {
            garbage
                .into_iter()
                .for_each(|flushed| keyspace.free_later(flushed));
        }
    }
}

/// `SWAPDB index1 index2`
pub fn swapdb(ctx: &mut KeyspaceCtx<'_>, args: &Args<'_>) {
    if ctx.env.cluster {
        return ctx.reply.error(SWAPDB_IN_CLUSTER);
    }
    let index = |at: usize| parse_i64(&args[at]).and_then(|index| i32::try_from(index).ok());
    let Some(first) = index(1) else {
        return ctx.reply.error(INVALID_FIRST_DB);
    };
    let Some(second) = index(2) else {
        return ctx.reply.error(INVALID_SECOND_DB);
    };
    if swap_everywhere(ctx, first, second) {
        ctx.effects.dirty += 1;
        ctx.reply.ok();
    } else {
        ctx.reply.error(DB_OUT_OF_RANGE);
    }
}

/// Swaps two databases in all partitions; false if there is no such database.
fn swap_everywhere(ctx: &mut KeyspaceCtx<'_>, first: i32, second: i32) -> bool {
    let (Ok(first), Ok(second)) = (usize::try_from(first), usize::try_from(second)) else {
        return false;
    };
    let (keyspace, env, effects) = (ctx.keyspace, ctx.env, &mut *ctx.effects);
    let expired_before = match env.expiry {
        Expiry::Deletes => ctx.now_ms,
        _ => i64::MIN,
    };
    let mut exist = false;
    for index in 0..keyspace.partitions() {
        keyspace.visit(index, &mut |partition| {
            exist = first.max(second) < partition.databases();
            if exist {
                partition.swap(first, second, expired_before, |db, key| {
                    effects.deleted_expired(env, db, key);
                });
            }
        });
    }
    exist
}

pub(super) fn for_each_non_empty(keyspace: &dyn Keyspace, mut visit: impl FnMut(&mut Partition)) {
    for index in (0..keyspace.partitions()).filter(|&index| keyspace.maybe_non_empty(index)) {
        keyspace.visit(index, &mut visit);
    }
}
