//! Directories: from the leading bits of a hash to its segment.

use crate::geometry::{self, Geometry};
use crate::hash::{HashSeed, KeyHash};
use crate::segment::Segment;

/// Segments by the bits of the hash that follow the first `base`.
pub(super) struct Directory {
    /// Bits that all hashes here have in common.
    base: u8,
    /// Bits that choose a place, at least one.
    bits: u8,
    /// Nodes that fill one place only. If there are none, half as many places would do.
    deepest: usize,
    /// 2^bits places.
    nodes: Box<[Node]>,
}

enum Node {
    /// A segment of depth `base` + 1 to `base` + `bits`, in the first of its places.
    Segment(Segment),
    /// A further place of the segment that stands in this one.
    Alias(u32),
    /// In a directory of the greatest size: what had to divide further.
    Directory(Box<Directory>),
}

impl Directory {
    /// A directory of the two halves of `segment`.
    pub(super) fn of_split(segment: Segment, seed: &HashSeed) -> Directory {
        let base = segment.depth();
        let (lower, upper) = segment.split(seed);
        let nodes = Box::new([Node::Segment(lower), Node::Segment(upper)]);
        Directory {
            base,
            bits: 1,
            deepest: 2,
            nodes,
        }
    }

    #[inline]
    pub(super) fn segment(&self, hash: KeyHash) -> &Segment {
        let mut directory = self;
        loop {
            match &directory.nodes[directory.first_place(hash)] {
                Node::Segment(segment) => return segment,
                Node::Directory(child) => directory = child,
                Node::Alias(_) => unreachable!("an alias names the first place of a segment"),
            }
        }
    }

    #[inline]
    pub(super) fn segment_mut(&mut self, hash: KeyHash) -> &mut Segment {
        match &mut self.nodes[self.first_place(hash)] {
            Node::Segment(segment) => segment,
            Node::Directory(child) => child.segment_mut(hash),
            Node::Alias(_) => unreachable!("an alias names the first place of a segment"),
        }
    }

    /// Splits the segment where `hash` belongs.
    pub(super) fn split<G: Geometry>(&mut self, hash: KeyHash, seed: &HashSeed) {
        let mut at = self.first_place(hash);
        let local = match &mut self.nodes[at] {
            Node::Segment(segment) => segment.depth() - self.base,
            Node::Directory(child) => return child.split::<G>(hash, seed),
            Node::Alias(_) => unreachable!("an alias names the first place of a segment"),
        };
        if local == self.bits && self.bits == G::DIRECTORY_BITS {
            let segment = self.take_segment(at);
            self.nodes[at] = Node::Directory(Box::new(Directory::of_split(segment, seed)));
            return;
        }
        if local == self.bits {
            self.double();
            at *= 2;
        }
        let (lower, upper) = self.take_segment(at).split(seed);
        let width = 1 << (self.bits - local);
        self.set(at, width / 2, lower);
        self.set(at + width / 2, width / 2, upper);
        if width == 2 {
            self.deepest += 2;
        }
    }

    /// Merges the segment where `hash` belongs with its buddy, if both together are small. Gives the
    /// segment that is left if the directory has become needless by that.
    pub(super) fn merge<G: Geometry>(&mut self, hash: KeyHash) -> Option<Segment> {
        let at = self.first_place(hash);
        let (depth, len) = match &mut self.nodes[at] {
            Node::Segment(segment) => (segment.depth(), segment.len()),
            Node::Directory(child) => {
                let only = child.merge::<G>(hash)?;
                self.nodes[at] = Node::Segment(only);
                return None;
            }
            Node::Alias(_) => unreachable!("an alias names the first place of a segment"),
        };
        let width = 1 << (self.base + self.bits - depth);
        let buddy = at ^ width;
        match &self.nodes[buddy] {
            Node::Segment(segment)
                if segment.depth() == depth
                    && segment.len() + len <= geometry::merge_max::<G>() => {}
            _ => return None,
        }
        let (lower, upper) = (at.min(buddy), at.max(buddy));
        let merged = Segment::merge(self.take_segment(lower), self.take_segment(upper));
        if merged.depth() == self.base {
            return Some(merged);
        }
        self.set(lower, 2 * width, merged);
        if width == 1 {
            self.deepest -= 2;
        }
        if self.deepest == 0 {
            self.halve();
        }
        None
    }

    /// Bytes that the directory and those below it have allocated, without the segments' cells.
    pub(super) fn heap_bytes(&self) -> usize {
        let below = self.nodes.iter().map(|node| match node {
            Node::Directory(child) => size_of::<Directory>() + child.heap_bytes(),
            _ => 0,
        });
        size_of_val(&*self.nodes) + below.sum::<usize>()
    }

    /// The place that has the node for `hash`.
    #[inline]
    fn first_place(&self, hash: KeyHash) -> usize {
        let place = ((hash.0 << self.base) >> (64 - self.bits)) as usize;
        match self.nodes[place] {
            Node::Alias(first) => first as usize,
            _ => place,
        }
    }

    /// Takes the segment out of place `at`, where the caller has seen one, to put another node there.
    fn take_segment(&mut self, at: usize) -> Segment {
        match std::mem::replace(&mut self.nodes[at], Node::Alias(at as u32)) {
            Node::Segment(segment) => segment,
            _ => unreachable!("the caller has seen a segment here"),
        }
    }

    /// Puts a segment in `width` places from `at` on.
    fn set(&mut self, at: usize, width: usize, segment: Segment) {
        self.nodes[at + 1..at + width].fill_with(|| Node::Alias(at as u32));
        self.nodes[at] = Node::Segment(segment);
    }

    /// Resolves one bit more. There are no directories below: they come with the last bit only.
    fn double(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        self.nodes = nodes
            .into_iter()
            .enumerate()
            .flat_map(|(place, node)| match node {
                Node::Alias(first) => [Node::Alias(2 * first), Node::Alias(2 * first)],
                node => [node, Node::Alias(2 * place as u32)],
            })
            .collect();
        self.bits += 1;
        self.deepest = 0;
    }

    /// Resolves one bit less; every node fills two places at least.
    fn halve(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        self.nodes = nodes
            .into_iter()
            .step_by(2)
            .map(|node| match node {
                Node::Alias(first) => Node::Alias(first / 2),
                node => node,
            })
            .collect();
        self.bits -= 1;
        let depth = self.base + self.bits;
        let is_deepest =
            |node: &&Node| matches!(node, Node::Segment(segment) if segment.depth() == depth);
        self.deepest = self.nodes.iter().filter(is_deepest).count();
    }
}

#[cfg(test)]
impl Directory {
    /// Panics unless the invariants hold.
    pub(super) fn check(&self) {
        assert_eq!(self.nodes.len(), 1 << self.bits);
        let mut deepest = 0;
        let mut at = 0;
        while at < self.nodes.len() {
            let width = match &self.nodes[at] {
                Node::Segment(segment) => 1 << (self.base + self.bits - segment.depth()),
                Node::Directory(child) => {
                    assert_eq!(child.base, self.base + self.bits);
                    child.check();
                    1
                }
                Node::Alias(first) => panic!("alias of {first} out of place"),
            };
            assert_eq!(at % width, 0);
            deepest += usize::from(width == 1);
            for alias in &self.nodes[at + 1..at + width] {
                assert!(matches!(alias, Node::Alias(first) if *first as usize == at));
            }
            at += width;
        }
        assert_eq!(self.deepest, deepest);
        assert!(deepest > 0, "the directory is as small as can be");
    }
}
