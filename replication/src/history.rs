//! Which history a server's data stand in, and how far.
//!
//! Two servers with the same id and the same offset have the same data (invariant 18). An id names
//! a history as long as one server writes it; a server that begins to write on its own takes a new
//! id, or the old one would name two histories. It remembers the old id as the second one, because
//! up to that point its history is the old one's, and whoever is in the old one and has not gone
//! past that point may go on here.
//!
//! ```text
//!   primary A   id a  ───────────────┬──────────✗ (dies at 140)
//!                                   100
//!   replica B   id a  ───────────────┤ promoted: id b, second id a up to 101 (the next byte)
//!                                    └──────────────── id b
//!   replica C   id a, has 90: asks B for "a 91"   → 91 ≤ 101: goes on
//!   A restarts  id a, has 140: asks B for "a 141" → 141 > 101: full synchronisation
//! ```

use crate::id::ReplId;

/// The largest offset that is taken from a peer or a file. What is beyond is no offset of a real
/// stream, and sums with it could overflow.
pub const MAX_OFFSET: u64 = 1 << 62;

/// The id whose history this server's is up to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondId {
    /// The id.
    pub id: ReplId,
    /// The last byte that may be asked for under it: the first one that is not common to both is
    /// this one, but who asks for it has only common ones.
    pub up_to: u64,
}

/// What a file keeps of a history (RDB: `repl-id`, `repl-offset`, `repl-stream-db`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The id.
    pub id: ReplId,
    /// The offset.
    pub offset: u64,
    /// The database that is selected in the stream at this offset.
    pub db: u32,
}

/// The ids and the offset of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    id: ReplId,
    second: Option<SecondId>,
    offset: u64,
}

impl History {
    /// A history that begins.
    pub const fn new(id: ReplId) -> Self {
        Self {
            id,
            second: None,
            offset: 0,
        }
    }

    /// A primary starts with data of a file: it writes a history of its own from here on, and who
    /// was in the file's may go on in it. (Redis 7.0 the same.)
    pub const fn restored_primary(new_id: ReplId, saved: &Saved) -> Self {
        Self {
            id: new_id,
            second: Some(SecondId {
                id: saved.id,
                up_to: saved.offset + 1,
            }),
            offset: saved.offset,
        }
    }

    /// A replica starts with data of a file: it is where the file is.
    pub const fn restored_replica(saved: &Saved) -> Self {
        Self {
            id: saved.id,
            second: None,
            offset: saved.offset,
        }
    }

    /// INFO's `master_replid`.
    pub const fn id(&self) -> ReplId {
        self.id
    }

    /// The second id, if there is one.
    pub const fn second(&self) -> Option<SecondId> {
        self.second
    }

    /// INFO's `master_repl_offset`: the last byte of the stream.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next byte of the stream: what PSYNC asks for.
    pub const fn next(&self) -> u64 {
        self.offset + 1
    }

    /// INFO's `master_replid2`.
    pub fn second_id_shown(&self) -> ReplId {
        self.second.map_or(ReplId::NONE, |second| second.id)
    }

    /// INFO's `second_repl_offset`.
    pub fn second_offset_shown(&self) -> i64 {
        self.second.map_or(-1, |second| second.up_to as i64)
    }

    /// Whether who asks for byte `next` of the history `id` is in this one: under the first id any
    /// time, under the second up to where it ends. Whether the byte is still there is another
    /// question.
    pub fn shares(&self, id: &[u8], next: i64) -> bool {
        self.id.is_named_by(id)
            || self.second.is_some_and(|second| {
                second.id.is_named_by(id) && i128::from(next) <= i128::from(second.up_to)
            })
    }

    /// This server has become a primary and writes on its own from here on.
    pub fn promote(&mut self, new_id: ReplId) {
        self.second = Some(SecondId {
            id: self.id,
            up_to: self.next(),
        });
        self.id = new_id;
    }

    /// What was written is not in the stream any more (there was no backlog): a new history, with
    /// no way back to the old one. The offset goes on, as in Redis.
    pub fn restart(&mut self, new_id: ReplId) {
        self.id = new_id;
        self.second = None;
    }

    /// A full synchronisation has brought another history's data.
    pub fn adopt(&mut self, id: ReplId, offset: u64) {
        *self = Self {
            id,
            second: None,
            offset,
        };
    }

    /// The primary has answered +CONTINUE and named this id. If it is a new one (there was a
    /// failover), the old one becomes the second. Returns whether it is new: then replicas of this
    /// server have to hear of it, and are disconnected for that.
    pub fn continue_as(&mut self, id: ReplId) -> bool {
        let changed = id != self.id;
        if changed {
            self.promote(id);
        }
        changed
    }

    /// `bytes` more are in the stream.
    #[inline]
    pub(crate) const fn advance(&mut self, bytes: u64) {
        self.offset += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplId = id(b'a');
    const B: ReplId = id(b'b');

    const fn id(letter: u8) -> ReplId {
        ReplId::repeated(letter)
    }

    fn at(id: ReplId, offset: u64) -> History {
        let mut history = History::new(id);
        history.advance(offset);
        history
    }

    #[test]
    fn a_promoted_replica_shares_its_past_to_the_byte() {
        let mut history = at(A, 100);
        history.promote(B);
        assert_eq!((history.id(), history.offset()), (B, 100));
        assert_eq!(history.second_id_shown(), A);
        assert_eq!(history.second_offset_shown(), 101);
        assert!(history.shares(A.as_bytes(), 101));
        assert!(!history.shares(A.as_bytes(), 102));
        assert!(history.shares(B.as_bytes(), 102));
        assert!(!history.shares(b"?", -1));
    }

    #[test]
    fn no_second_id_is_asked_for_in_vain() {
        let history = at(A, 100);
        assert_eq!(history.second_id_shown(), ReplId::NONE);
        assert_eq!(history.second_offset_shown(), -1);
        assert!(!history.shares(ReplId::NONE.as_bytes(), -1));
    }

    #[test]
    fn a_primary_that_lost_its_backlog_shares_nothing() {
        let mut history = at(A, 100);
        history.promote(B);
        history.restart(id(b'c'));
        assert!(!history.shares(A.as_bytes(), 1));
        assert!(!history.shares(B.as_bytes(), 1));
        assert_eq!(history.offset(), 100);
    }

    #[test]
    fn a_changed_id_on_continue_keeps_the_old_one() {
        let mut history = at(A, 100);
        assert!(!history.continue_as(A));
        assert_eq!(history.second(), None);
        assert!(history.continue_as(B));
        assert_eq!(history.second(), Some(SecondId { id: A, up_to: 101 }));
        assert_eq!(history.id(), B);
    }

    #[test]
    fn what_a_file_keeps() {
        let saved = Saved {
            id: A,
            offset: 100,
            db: 3,
        };
        let primary = History::restored_primary(B, &saved);
        assert!(primary.shares(A.as_bytes(), 101) && !primary.shares(A.as_bytes(), 102));
        assert_eq!((primary.id(), primary.offset()), (B, 100));
        let replica = History::restored_replica(&saved);
        assert_eq!((replica.id(), replica.next()), (A, 101));
    }

    #[test]
    fn a_full_synchronisation_begins_anew() {
        let mut history = at(A, 100);
        history.promote(B);
        history.adopt(id(b'c'), 7);
        assert_eq!(history, at(id(b'c'), 7));
    }
}
