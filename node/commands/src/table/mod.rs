//! The command table: one file a group, put together at compile time.
//!
//! A subcommand is written inside its container; [`COMMANDS`] holds the commands first and all
//! subcommands after them, so that an index numbers both.

mod cluster;
mod connection;
mod generic;
mod server;
mod string;
mod transactions;

use crate::command::Command;
use crate::docs::Group;

const GROUPS: &[(Group, &[Command])] = &[
    (Group::String, string::COMMANDS),
    (Group::Generic, generic::COMMANDS),
    (Group::Connection, connection::COMMANDS),
    (Group::Transactions, transactions::COMMANDS),
    (Group::Server, server::COMMANDS),
    (Group::Cluster, cluster::COMMANDS),
];

/// How many commands there are without, and how many with their subcommands.
const COUNTS: (usize, usize) = count();
/// The number of commands, subcommands not counted.
pub(crate) const TOP_LEVEL: usize = COUNTS.0;

/// Every command, then every subcommand.
pub(crate) static COMMANDS: [Command; COUNTS.1] = flatten();

/// The commands without their subcommands.
pub(crate) fn top_level() -> &'static [Command] {
    &COMMANDS[..TOP_LEVEL]
}

/// The command called `name`, in any case; not a subcommand.
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let folded = Folded::of(name);
    let mut slot = folded.hash();
    loop {
        let Slot { key, index } = &SLOTS[slot % SLOTS.len()];
        if *index == FREE {
            return None;
        }
        let command = &COMMANDS[usize::from(*index)];
        let ends_match = key.low == folded.low && key.high == folded.high && key.len == folded.len;
        let whole = name.len() <= Folded::MAX_WHOLE_BYTES;
        if ends_match && (whole || command.name.as_bytes().eq_ignore_ascii_case(name)) {
            return Some(command);
        }
        slot += 1;
    }
}

/// A name in lower case, as two words that are hashed and compared at once: its first and its last
/// bytes, which overlap unless it is longer than both together.
#[derive(Clone, Copy)]
struct Folded {
    low: u64,
    high: u64,
    len: usize,
}

impl Folded {
    /// The longest names that the words hold in full.
    const MAX_WHOLE_BYTES: usize = 16;

    #[inline]
    const fn of(name: &[u8]) -> Self {
        let (low, high) = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (name.first_chunk(), name.last_chunk()) {
                (Some(first), Some(last)) => (
                    u32::from_le_bytes(*first) as u64,
                    u32::from_le_bytes(*last) as u64,
                ),
                _ => match name {
                    [] => (0, 0),
                    [only] => (*only as u64, 0),
                    [first, last] => (*first as u64, *last as u64),
                    [first, middle, .., last] => {
                        (*first as u64, *last as u64 | (*middle as u64) << 8)
                    }
                },
            },
        };
        Self {
            low: to_lower(low),
            high: to_lower(high),
            len: name.len(),
        }
    }

    #[inline]
    const fn hash(self) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = self.low.rotate_left(29) ^ self.high ^ self.len as u64;
        (mixed.wrapping_mul(ODD) >> 48) as usize
    }
}

/// Turns each of eight bytes that is an ASCII upper-case letter into its lower-case one.
#[inline]
const fn to_lower(bytes: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    // The top bit of each byte says whether its low seven bits are at least 'A', and above 'Z'.
    let low_bits = bytes & !TOPS;
    let from_a = low_bits + (0x80 - b'A' as u64) * ONES;
    let above_z = low_bits + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a & !above_z) & !bytes & TOPS;
    bytes | upper >> 2
}

/// A place of the hash table: a name and the index of its command in [`COMMANDS`].
#[derive(Clone, Copy)]
struct Slot {
    key: Folded,
    index: u16,
}

/// An open-addressed hash table of the commands' names, at most a quarter full.
static SLOTS: [Slot; SLOT_COUNT] = fill_slots();
const SLOT_COUNT: usize = (4 * TOP_LEVEL).next_power_of_two();
/// The index in a slot that is not taken.
const FREE: u16 = u16::MAX;

const fn fill_slots() -> [Slot; SLOT_COUNT] {
    let mut slots = [Slot {
        key: Folded::of(b""),
        index: FREE,
    }; SLOT_COUNT];
    let mut index = 0;
    while index < TOP_LEVEL {
        let key = Folded::of(COMMANDS[index].name.as_bytes());
        let mut slot = key.hash();
        while slots[slot % SLOT_COUNT].index != FREE {
            slot += 1;
        }
        slots[slot % SLOT_COUNT] = Slot {
            key,
            index: index as u16,
        };
        index += 1;
    }
    slots
}

const fn count() -> (usize, usize) {
    let (mut top_level, mut all) = (0, 0);
    let mut group = 0;
    while group < GROUPS.len() {
        let commands = GROUPS[group].1;
        let mut index = 0;
        while index < commands.len() {
            top_level += 1;
            all += 1 + commands[index].nested.len();
            index += 1;
        }
        group += 1;
    }
    (top_level, all)
}

const fn flatten() -> [Command; COUNTS.1] {
    let mut commands = [GROUPS[0].1[0]; COUNTS.1];
    let (mut next, mut next_child) = (0, TOP_LEVEL);
    let mut group = 0;
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].1.len() {
            let mut command = GROUPS[group].1[index];
            let nested = command.nested;
            command.docs.group = GROUPS[group].0;
            command.index = next;
            command.children = (next_child, next_child + nested.len());
            commands[next] = command;
            let mut child = 0;
            while child < nested.len() {
                commands[next_child] = nested[child];
                commands[next_child].docs.group = GROUPS[group].0;
                commands[next_child].index = next_child;
                next_child += 1;
                child += 1;
            }
            next += 1;
            index += 1;
        }
        group += 1;
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_lower_changes_letters_only() {
        for byte in 0..=u8::MAX {
            for other in [0, b'A', b'Z' + 1, 0x7f, 0xff] {
                let bytes = [other, byte, byte, other, byte, other, other, byte];
                let expected = bytes.map(|byte| byte.to_ascii_lowercase());
                assert_eq!(to_lower(u64::from_le_bytes(bytes)).to_le_bytes(), expected);
            }
        }
    }

    #[test]
    fn the_hash_spreads_names() {
        let longest_run = SLOTS.split(|slot| slot.index == FREE).map(<[_]>::len).max();
        assert!(longest_run <= Some(6), "{longest_run:?}");
    }
}
