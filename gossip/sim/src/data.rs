//! The data of the nodes: numbered writes in slots, and the streams by which they are replicated.
//!
//! As in Redis, a primary's changes form a stream, and an offset in it says how much of it a copy
//! has. Whoever becomes a primary, or restarts as one, goes on in a stream of its own, which
//! branches off where its copy ends; so a copy can be brought up to date if its place lies on the
//! other one's way, and else has to be made anew.

use std::collections::BTreeMap;

use hexad_slots::Slot;

use crate::queue::Micros;

/// A client's write, by its number.
pub(crate) type Write = u32;

/// Writes by slot, each with the time at which its primary got it: from the client, or from
/// another primary when the slot was moved.
pub(crate) type Keys = BTreeMap<Slot, BTreeMap<Write, Micros>>;

/// A stream, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(usize);

/// A change of data.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Writes are added to a slot.
    Add(Slot, BTreeMap<Write, Micros>),
    /// A slot is emptied.
    Remove(Slot),
    /// Everything is.
    Clear,
}

/// What a node has on its disk.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// The writes.
    pub keys: Keys,
    /// The stream that they are from.
    pub stream: StreamId,
    /// How much of it they are.
    pub offset: u64,
}

impl Data {
    /// Nothing, at the beginning of a stream.
    #[must_use]
    pub(crate) fn new(stream: StreamId) -> Self {
        Data {
            keys: Keys::new(),
            stream,
            offset: 0,
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Add(slot, writes) => {
                let slot = self.keys.entry(*slot).or_default();
                slot.extend(writes.iter().map(|(write, at_us)| (*write, *at_us)));
            }
            Op::Remove(slot) => {
                self.keys.remove(slot);
            }
            Op::Clear => self.keys.clear(),
        }
        self.offset += 1;
    }

    /// Whether a write is among the data.
    #[must_use]
    pub(crate) fn has(&self, slot: Slot, write: Write) -> bool {
        let writes = self.keys.get(&slot);
        writes.is_some_and(|writes| writes.contains_key(&write))
    }

    /// What is here and not there: slot, write, and when its primary got it.
    pub(crate) fn beyond(&self, other: &Data) -> Vec<(Slot, Write, Micros)> {
        let all = self
            .keys
            .iter()
            .flat_map(|(slot, writes)| writes.iter().map(|(write, at_us)| (*slot, *write, *at_us)));
        all.filter(|(slot, write, _)| !other.has(*slot, *write))
            .collect()
    }
}

/// All streams there have been.
#[derive(Debug, Default)]
pub(crate) struct Streams(Vec<Stream>);

#[derive(Debug)]
struct Stream {
    parent: Option<StreamId>,
    root: StreamId,
    /// The offset at which it branches off.
    start: u64,
    ops: Vec<Op>,
}

impl Streams {
    /// A stream that begins with nothing.
    pub(crate) fn begin(&mut self) -> StreamId {
        let id = StreamId(self.0.len());
        self.push(None, id, 0)
    }

    /// A stream that goes on where a copy ends.
    pub(crate) fn branch(&mut self, data: &mut Data) {
        let root = self.0[data.stream.0].root;
        data.stream = self.push(Some(data.stream), root, data.offset);
    }

    fn push(&mut self, parent: Option<StreamId>, root: StreamId, start: u64) -> StreamId {
        self.0.push(Stream {
            parent,
            root,
            start,
            ops: Vec::new(),
        });
        StreamId(self.0.len() - 1)
    }

    /// Changes the data of the node that a stream belongs to.
    pub(crate) fn append(&mut self, data: &mut Data, op: Op) {
        data.apply(&op);
        self.0[data.stream.0].ops.push(op);
    }

    /// Whether two streams have come from one beginning.
    #[must_use]
    pub(crate) fn are_related(&self, one: StreamId, other: StreamId) -> bool {
        self.0[one.0].root == self.0[other.0].root
    }

    /// Brings a copy up to date, if its place lies on the way of the other one.
    pub(crate) fn catch_up(&self, copy: &mut Data, source: &Data) -> bool {
        let mut pieces = Vec::new();
        let (mut stream, mut end) = (source.stream, source.offset);
        while stream != copy.stream {
            let Stream { parent, start, .. } = &self.0[stream.0];
            pieces.push((stream, *start, end));
            let Some(parent) = parent else {
                return false;
            };
            (stream, end) = (*parent, *start);
        }
        if copy.offset > end {
            return false;
        }
        pieces.push((stream, copy.offset, end));
        for (stream, from, to) in pieces.into_iter().rev() {
            let Stream { start, ops, .. } = &self.0[stream.0];
            let ops = &ops[(from - start) as usize..(to - start) as usize];
            ops.iter().for_each(|op| copy.apply(op));
        }
        copy.stream = source.stream;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(write: Write) -> Op {
        let slot = Slot::new(1).expect("in range");
        Op::Add(slot, BTreeMap::from([(write, 0)]))
    }

    fn writes(data: &Data) -> Vec<Write> {
        let writes = data.keys.values().flat_map(|writes| writes.keys());
        writes.copied().collect()
    }

    #[test]
    fn a_copy_catches_up_across_a_branch_and_not_from_behind_it() {
        let mut streams = Streams::default();
        let mut primary = Data::new(streams.begin());
        let mut other = Data::new(streams.begin());
        streams.append(&mut primary, add(1));
        let mut winner = primary.clone();
        let mut late = Data::new(primary.stream);
        streams.append(&mut primary, add(2));
        // The winner has not got write 2.
        streams.branch(&mut winner);
        streams.append(&mut winner, add(3));
        assert!(streams.catch_up(&mut late, &winner));
        assert_eq!(writes(&late), [1, 3]);
        assert!(!streams.catch_up(&mut primary, &winner), "it has write 2");
        assert!(!streams.catch_up(&mut other, &winner));
        assert!(streams.are_related(primary.stream, winner.stream));
        assert!(!streams.are_related(other.stream, winner.stream));
        assert_eq!(primary.beyond(&winner).len(), 1);
    }
}
