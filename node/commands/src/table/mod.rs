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
    let mut slot = hash(name);
    loop {
        let index = SLOTS[slot % SLOTS.len()];
        if index == FREE {
            return None;
        }
        let command = &COMMANDS[usize::from(index)];
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot += 1;
    }
}

/// An open-addressed hash table of indexes of [`COMMANDS`], at most an eighth full.
static SLOTS: [u16; (8 * TOP_LEVEL).next_power_of_two()] = fill_slots();
const FREE: u16 = u16::MAX;

/// Hashes up to 16 bytes of a name (its ends, if it is longer) without regard to case.
#[inline]
const fn hash(name: &[u8]) -> usize {
    let (low, high) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (
            u32::from_le_bytes(*first) as u64,
            u32::from_le_bytes(*last) as u64,
        )
    } else if let [first, .., last] = name {
        (
            *first as u64,
            *last as u64 | (name[name.len() / 2] as u64) << 8,
        )
    } else {
        (0, 0)
    };
    // The bit that tells upper from lower case, set in every byte.
    const FOLD: u64 = 0x2020_2020_2020_2020;
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed =
        ((low | FOLD).rotate_left(29) ^ (high | FOLD) ^ name.len() as u64).wrapping_mul(ODD);
    (mixed >> 48) as usize
}

const fn fill_slots() -> [u16; (8 * TOP_LEVEL).next_power_of_two()] {
    let mut slots = [FREE; (8 * TOP_LEVEL).next_power_of_two()];
    let mut index = 0;
    while index < TOP_LEVEL {
        let mut slot = hash(COMMANDS[index].name.as_bytes());
        while slots[slot % slots.len()] != FREE {
            slot += 1;
        }
        slots[slot % slots.len()] = index as u16;
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
