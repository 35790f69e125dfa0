//! SCAN over all partitions.
//!
//! # The cursor
//!
//! Each partition's table has a cursor of its own: a position in hash order, below 2^48, that stays
//! valid however the table grows, shrinks, splits or merges. SCAN walks the partitions one after
//! the other, so its cursor is a pair:
//!
//! ```text
//!   63 62 61         48 47                        0
//!  +-----+-------------+---------------------------+
//!  | 0 0 | partition   | position in the partition |
//!  +-----+-------------+---------------------------+
//! ```
//!
//! 62 bits, so that clients which read cursors as signed integers are safe. 0 is the start and the
//! end, as SCAN needs it. With one partition (stand-alone mode) the cursor is its position.
//!
//! Whatever is in the keyspace during the whole scan lies behind the cursor at its start and before
//! it at its end, in the order of (partition, hash); every call returns what lies between its two
//! cursors, so it is returned at least once. A slot that moves to another node meanwhile is not
//! promised, as in Redis Cluster.

use hexad_resp::{Args, Reply, parse_i64};
use hexad_store::{Entry, Partition};

use super::errors::{NOT_AN_INTEGER, SYNTAX};
use super::value::type_name;
use crate::context::KeyspaceCtx;
use crate::glob;

const INVALID_CURSOR: &str = "ERR invalid cursor";
/// Bits of a position in one partition.
const POSITION_BITS: u32 = 48;
/// Keys looked at if COUNT is not given.
const DEFAULT_COUNT: usize = 10;

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan(ctx: &mut KeyspaceCtx<'_>, args: &Args<'_>) {
    let Some(cursor) = parse_cursor(&args[1]) else {
        return ctx.reply.error(INVALID_CURSOR);
    };
    let options = match Options::parse(args.slice(2)) {
        Ok(options) => options,
        Err(text) => return ctx.reply.error(text),
    };
    let mut keys = Reply::new();
    let mut walk = Walk {
        options,
        keys: &mut keys,
        found: 0,
        budget: 0,
    };
    walk.budget = walk.options.count;
    let next = walk.run(ctx, Cursor::unpack(cursor));
    let found = walk.found;
    ctx.reply.array(2);
    ctx.reply.bulk_int(next.pack() as i64);
    ctx.reply.array(found);
    ctx.reply.raw(keys.as_slice());
}

/// A place in the keyspace; the fields' order is the order of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    partition: usize,
    position: u64,
}

impl Cursor {
    /// Where a scan starts, and what its last call returns.
    const ZERO: Self = Self {
        partition: 0,
        position: 0,
    };

    fn unpack(cursor: u64) -> Self {
        Self {
            partition: (cursor >> POSITION_BITS) as usize,
            position: cursor & ((1 << POSITION_BITS) - 1),
        }
    }

    fn pack(self) -> u64 {
        debug_assert!(
            self.position >> POSITION_BITS == 0,
            "a position has 48 bits"
        );
        (self.partition as u64) << POSITION_BITS | self.position
    }
}

struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    type_name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Self, &'static str> {
        let mut options = Self {
            pattern: None,
            count: DEFAULT_COUNT,
            type_name: None,
        };
        let mut rest = args.iter();
        while let (Some(option), argument) = (rest.next(), rest.next()) {
            let argument = argument.ok_or(SYNTAX)?;
            match option.to_ascii_lowercase().as_slice() {
                b"match" => options.pattern = (argument != b"*").then_some(argument),
                b"count" => options.count = parse_count(argument)?,
                b"type" => options.type_name = Some(argument),
                _ => return Err(SYNTAX),
            }
        }
        Ok(options)
    }

    fn matches(&self, key: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, key))
    }

    fn has_type(&self, entry: &Entry) -> bool {
        self.type_name
            .is_none_or(|name| name.eq_ignore_ascii_case(type_name(entry).as_bytes()))
    }
}

fn parse_count(text: &[u8]) -> Result<usize, &'static str> {
    let count = parse_i64(text).ok_or(NOT_AN_INTEGER)?;
    if count < 1 {
        Err(SYNTAX)
    } else {
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// Reads a cursor as `strtoul` does: an optional sign, decimal digits, nothing behind them, and the
/// empty text for zero. Leading space is refused; a negative number wraps around.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    })
}

/// One call's walk.
struct Walk<'a, 'k> {
    options: Options<'a>,
    /// The keys found, as bulk strings.
    keys: &'k mut Reply,
    found: usize,
    /// Keys still to look at.
    budget: usize,
}

impl Walk<'_, '_> {
    /// Walks from `from` until the budget is spent; returns where to go on.
    fn run(&mut self, ctx: &mut KeyspaceCtx<'_>, from: Cursor) -> Cursor {
        let partitions = ctx.keyspace.partitions();
        let mut at = from;
        while at.partition < partitions {
            if self.budget == 0 {
                return at;
            }
            let keyspace = ctx.keyspace;
            if keyspace.maybe_non_empty(at.partition) {
                keyspace.visit(at.partition, &mut |partition| {
                    at.position = self.visit(ctx, partition, at.position);
                });
            } else {
                at.position = 0;
            }
            if at.position == 0 {
                at.partition += 1;
            }
        }
        Cursor::ZERO
    }

    /// Walks one partition; returns its next position, 0 at its end.
    fn visit(
        &mut self,
        ctx: &mut KeyspaceCtx<'_>,
        partition: &mut Partition,
        position: u64,
    ) -> u64 {
        let (mut expired, mut live) = (Vec::new(), 0);
        let (mut visited, now_ms) = (0, ctx.now_ms);
        let next = partition.db(ctx.db).scan(position, self.budget, |entry| {
            visited += 1;
            if !self.options.matches(entry.key()) {
                return;
            }
            if entry.is_expired(now_ms) {
                return expired.push(entry.key().to_vec());
            }
            live += 1;
            if self.options.has_type(entry) {
                self.keys.bulk(entry.key());
                self.found += 1;
            }
        });
        if self.options.type_name.is_some() {
            // Redis 7.0 looks keys up to learn their type, which counts.
            ctx.effects.hits += live;
            ctx.effects.misses += expired.len() as u64;
        }
        self.budget = self.budget.saturating_sub(visited);
        for key in expired {
            ctx.delete_expired(partition, &key);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_leniently() {
        assert_eq!(parse_cursor(b""), Some(0));
        assert_eq!(parse_cursor(b"+07"), Some(7));
        assert_eq!(parse_cursor(b"-1"), Some(u64::MAX));
        assert_eq!(parse_cursor(b"18446744073709551615"), Some(u64::MAX));
        for text in ["18446744073709551616", " 1", "1 ", "+", "-", "0x", "a"] {
            assert_eq!(parse_cursor(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn cursors_pack_in_walk_order() {
        let last = Cursor {
            partition: 16383,
            position: (1 << POSITION_BITS) - 1,
        };
        assert_eq!(Cursor::unpack(last.pack()), last);
        assert!(last.pack() < 1 << 62);
        let (before, after) = (
            Cursor {
                partition: 1,
                position: u64::MAX >> 16,
            },
            Cursor {
                partition: 2,
                position: 0,
            },
        );
        assert!(before < after && before.pack() < after.pack());
        assert_eq!(Cursor::ZERO.pack(), 0);
    }
}
