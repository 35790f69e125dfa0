//! The recent bytes of the stream, for replicas that are fed and replicas that come back.
//!
//! ```text
//!   first                                          tail_start      next
//!     │ block  │ block  │ block            │ block  │ tail (grows)   │
//!     └────────┴────────┴──────────────────┴────────┴────────────────┘
//!                  ▲ reader                                     ▲ reader
//! ```
//!
//! Full blocks are immutable and reference counted: a feeder takes slices of them and writes them
//! to its socket without the lock, while the backlog goes on. The tail is the one block that is
//! still written. What a feeder wants of it is copied, which costs less than the counting for the
//! few hundred bytes that a feeder which keeps up is behind, and never more than one block.
//!
//! Trimming takes whole blocks from the front, when one more is full, and only if as much as the
//! configured size is left: so there is up to two blocks more than that.
//! A block that an attached reader has not finished is kept, so the backlog may be larger than
//! configured, and serves partial synchronisations with all it has (Redis 7.0 the same). What
//! bounds it then is `client-output-buffer-limit replica`: a reader beyond it is cut off.

use std::collections::VecDeque;

use bytes::Bytes;
use thiserror::Error;

use crate::Millis;

/// The smallest size of a backlog; smaller settings count as this. (Redis 7.0.)
const MIN_BACKLOG_BYTES: usize = 16 * 1024;
/// The smallest block. (Redis 7.0: `PROTO_REPLY_CHUNK_BYTES`.)
const MIN_BLOCK_BYTES: usize = 16 * 1024;
/// A block is at most this part of the backlog, or trimming would be too coarse.
const BLOCKS_AT_LEAST: usize = 16;

/// Blocks dropped in one go. A replica that was far behind and is gone leaves thousands, and all
/// writers wait while they are freed. (Redis 7.0 the same: `REPL_BACKLOG_TRIM_BLOCKS_PER_CALL`.)
const TRIMMED_AT_ONCE: usize = 64;

/// A reader of the backlog: the place of one replica in the stream. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderId(pub(crate) u64);

/// Why a reader gets nothing any more. Its replica has to be disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It was beyond `client-output-buffer-limit replica`.
    #[error("the replica is beyond client-output-buffer-limit")]
    Overrun,
    /// The backlog that it read is gone: the server changed its role or its history.
    #[error("the replication history has changed")]
    Gone,
}

/// `client-output-buffer-limit replica`. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// A replica that has more bytes before it is cut off at once.
    pub hard_bytes: u64,
    /// A replica that has more bytes before it …
    pub soft_bytes: u64,
    /// … for so long is cut off.
    pub soft_ms: Millis,
}

impl OutputLimit {
    /// No limit.
    pub const NONE: Self = Self {
        hard_bytes: 0,
        soft_bytes: 0,
        soft_ms: 0,
    };
}

impl Default for OutputLimit {
    /// The default of Redis 7.0: 256mb 64mb 60.
    fn default() -> Self {
        Self {
            hard_bytes: 256 << 20,
            soft_bytes: 64 << 20,
            soft_ms: 60_000,
        }
    }
}

/// The recent bytes of the stream.
#[derive(Debug)]
pub struct Backlog {
    /// `repl-backlog-size`, at least [`MIN_BACKLOG_BYTES`].
    size: usize,
    limit: OutputLimit,
    /// Full blocks, each where the one before it ends.
    blocks: VecDeque<Block>,
    /// The first byte there is; `next` if there is none.
    first: u64,
    /// Where the tail begins, which is where the last full block ends.
    tail_start: u64,
    tail: Vec<u8>,
    readers: Vec<Reader>,
}

#[derive(Debug)]
struct Block {
    start: u64,
    bytes: Bytes,
}

#[derive(Debug)]
struct Reader {
    id: ReaderId,
    /// The next byte it wants: all before have been handed over and written.
    next: u64,
    /// Since when it is beyond the soft limit.
    soft_since: Option<Millis>,
    overrun: bool,
}

impl Backlog {
    /// An empty backlog of a stream whose next byte is `next`.
    pub(crate) fn new(next: u64, size: usize, limit: OutputLimit) -> Self {
        Self {
            size: size.max(MIN_BACKLOG_BYTES),
            limit,
            blocks: VecDeque::new(),
            first: next,
            tail_start: next,
            tail: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// INFO's `repl_backlog_first_byte_offset`.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The byte that will be appended next.
    pub const fn next(&self) -> u64 {
        self.tail_start + self.tail.len() as u64
    }

    /// INFO's `repl_backlog_histlen`: how many bytes there are.
    pub const fn len(&self) -> u64 {
        self.next() - self.first
    }

    /// Whether nothing has been appended yet.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// INFO's `repl_backlog_size`.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The memory of the blocks (INFO's `mem_total_replication_buffers`).
    pub fn memory_bytes(&self) -> usize {
        let full = self.tail_start - self.first;
        full as usize
            + self.tail.capacity()
            + self.blocks.capacity() * size_of::<Block>()
            + self.readers.capacity() * size_of::<Reader>()
    }

    /// Whether a replica that asks for byte `next` can be served: it is there, or the very next.
    pub fn covers(&self, next: u64) -> bool {
        (self.first..=self.next()).contains(&next)
    }

    pub(crate) fn resize(&mut self, size: usize) {
        self.size = size.max(MIN_BACKLOG_BYTES);
        self.trim();
    }

    pub(crate) fn set_limit(&mut self, limit: OutputLimit) {
        self.limit = limit;
    }

    /// Appends bytes of the stream.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if bytes.len() <= self.room() {
            self.tail.extend_from_slice(bytes);
        } else {
            self.append_over_blocks(bytes);
        }
    }

    /// The tail itself, if it has room for `bytes` more.
    #[inline]
    pub(crate) fn tail_with_room(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        (bytes <= self.room()).then_some(&mut self.tail)
    }

    #[inline]
    fn room(&self) -> usize {
        self.tail.capacity() - self.tail.len()
    }

    #[cold]
    fn append_over_blocks(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room() == 0 {
                self.new_tail(bytes.len());
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.room()));
            self.tail.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The full tail becomes a block; a new one is allocated for at least `wanted` bytes, within
    /// what a block may have.
    fn new_tail(&mut self, wanted: usize) {
        let largest = (self.size / BLOCKS_AT_LEAST).max(MIN_BLOCK_BYTES);
        let tail = Vec::with_capacity(wanted.clamp(MIN_BLOCK_BYTES, largest));
        let full = std::mem::replace(&mut self.tail, tail);
        if !full.is_empty() {
            let start = self.tail_start;
            self.tail_start += full.len() as u64;
            self.blocks.push_back(Block {
                start,
                bytes: Bytes::from(full),
            });
            self.cut_off_beyond_hard_limit();
            self.trim();
        }
    }

    /// Drops full blocks from the front that are neither within the size nor wanted by a reader, up
    /// to [`TRIMMED_AT_ONCE`]. Returns whether there may be more of them.
    pub(crate) fn trim(&mut self) -> bool {
        let wanted = self
            .readers
            .iter()
            .filter(|reader| !reader.overrun)
            .map(|reader| reader.next)
            .min()
            .unwrap_or(u64::MAX);
        for _ in 0..TRIMMED_AT_ONCE {
            let Some(block) = self.blocks.front() else {
                return false;
            };
            let bytes = block.bytes.len() as u64;
            if self.len() - bytes <= self.size as u64 || wanted < block.start + bytes {
                return false;
            }
            self.first += bytes;
            self.blocks.pop_front();
        }
        true
    }

    // ---- readers ---------------------------------------------------------------------------------

    /// Attaches a reader that wants all from byte `next` on; false if it is not there.
    pub(crate) fn attach(&mut self, id: ReaderId, next: u64) -> bool {
        let covered = self.covers(next);
        if covered {
            self.readers.push(Reader {
                id,
                next,
                soft_since: None,
                overrun: false,
            });
        }
        covered
    }

    pub(crate) fn detach(&mut self, id: ReaderId) {
        self.readers.retain(|reader| reader.id != id);
        self.trim();
    }

    pub(crate) fn detach_all(&mut self) {
        self.readers.clear();
        self.trim();
    }

    pub(crate) fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    /// How many bytes a reader has before it.
    pub(crate) fn pending(&self, id: ReaderId) -> Result<u64, ReadError> {
        Ok(self.next() - self.reader(id)?.next)
    }

    /// Up to `max` bytes from where the reader is, as slices in order; appends them to `out` and
    /// returns how many bytes they are.
    pub(crate) fn read(
        &self,
        id: ReaderId,
        max: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<usize, ReadError> {
        let from = self.reader(id)?.next;
        let to = self.next().min(from.saturating_add(max as u64));
        self.slices(from, to, out);
        Ok((to - from) as usize)
    }

    /// The reader's replica has got `bytes` more; they need not be kept for it.
    pub(crate) fn advance(&mut self, id: ReaderId, bytes: usize) -> Result<(), ReadError> {
        let end = self.next();
        let size = self.size as u64;
        let reader = self.reader_mut(id)?;
        reader.next = end.min(reader.next.saturating_add(bytes as u64));
        if self.len() > size {
            self.trim();
        }
        Ok(())
    }

    /// Bytes `from..to`, which must be there.
    fn slices(&self, mut from: u64, to: u64, out: &mut Vec<Bytes>) {
        let at = self.blocks.partition_point(|block| block.end() <= from);
        for block in self.blocks.range(at..) {
            if from >= to {
                return;
            }
            let end = to.min(block.end());
            let range = (from - block.start) as usize..(end - block.start) as usize;
            out.push(block.bytes.slice(range));
            from = end;
        }
        if from < to {
            let range = (from - self.tail_start) as usize..(to - self.tail_start) as usize;
            out.push(Bytes::copy_from_slice(&self.tail[range]));
        }
    }

    fn reader(&self, id: ReaderId) -> Result<&Reader, ReadError> {
        let reader = self.readers.iter().find(|reader| reader.id == id);
        match reader {
            Some(reader) if reader.overrun => Err(ReadError::Overrun),
            Some(reader) => Ok(reader),
            None => Err(ReadError::Gone),
        }
    }

    fn reader_mut(&mut self, id: ReaderId) -> Result<&mut Reader, ReadError> {
        let reader = self.readers.iter_mut().find(|reader| reader.id == id);
        match reader {
            Some(reader) if reader.overrun => Err(ReadError::Overrun),
            Some(reader) => Ok(reader),
            None => Err(ReadError::Gone),
        }
    }

    // ---- limits ----------------------------------------------------------------------------------

    /// A limit below the backlog's size would cut off replicas that have just been accepted for a
    /// partial synchronisation, so the size counts then. (Redis 7.0.)
    const fn effective(&self, limit: u64) -> u64 {
        if limit == 0 {
            u64::MAX
        } else if limit < self.size as u64 {
            self.size as u64
        } else {
            limit
        }
    }

    fn cut_off_beyond_hard_limit(&mut self) {
        let (end, hard) = (self.next(), self.effective(self.limit.hard_bytes));
        for reader in &mut self.readers {
            reader.overrun |= end - reader.next > hard;
        }
    }

    /// Cuts off readers that are beyond the hard limit, or have been beyond the soft one for its
    /// time; returns those that are cut off.
    pub(crate) fn check_limits(&mut self, now: Millis) -> Vec<ReaderId> {
        self.cut_off_beyond_hard_limit();
        let (end, soft) = (self.next(), self.effective(self.limit.soft_bytes));
        let soft_ms = self.limit.soft_ms;
        for reader in &mut self.readers {
            if end - reader.next <= soft {
                reader.soft_since = None;
                continue;
            }
            let since = *reader.soft_since.get_or_insert(now);
            reader.overrun |= now.saturating_sub(since) > soft_ms;
        }
        self.trim();
        let overrun = self.readers.iter().filter(|reader| reader.overrun);
        overrun.map(|reader| reader.id).collect()
    }
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}
