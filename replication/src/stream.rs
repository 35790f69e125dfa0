//! The replication stream of a server, in either role.

use bytes::Bytes;

use crate::Millis;
use crate::backlog::{Backlog, OutputLimit, ReadError, ReaderId};
use crate::encode::{self, HEADER_MAX_BYTES};
use crate::history::{History, Saved};
use crate::id::ReplId;
use crate::log::LogLine;

/// What a server replicates: its history, and the recent bytes of it if anybody may want them.
///
/// It lives under one mutex, which is taken after a slot's. Workers append under it; a feeder of a
/// replica holds it to [`read`](Self::read) and [`advance`](Self::advance), never while it writes.
///
/// # A primary
/// There is no backlog until the first replica comes ([`start_backlog`](Self::start_backlog));
/// without one, appending does nothing and the offset stays. Each command goes in through
/// [`append_command`](Self::append_command), which puts a SELECT before it if the database has
/// changed. The first command after a cut for a full synchronisation has to select its database
/// ([`forget_db`](Self::forget_db)), since the new replica knows of none.
///
/// # A replica
/// What comes from the primary is appended as it came ([`append_raw`](Self::append_raw)), once it
/// is applied, so that offset, id and bytes are the primary's and its own replicas can go on at
/// either. [`begin_full_sync`](Self::begin_full_sync) and [`adopt`](Self::adopt) enclose a full
/// synchronisation, [`resume`](Self::resume) is a partial one.
///
/// # Invariant
/// The backlog, if there is one, ends where the history ends.
#[derive(Debug)]
pub struct Stream {
    history: History,
    backlog: Option<Backlog>,
    /// The database selected in the stream; `None`: the next command selects one first.
    db: Option<u32>,
    /// Whether these data stand in a history that a primary may be asked to continue.
    resumable: bool,
    backlog_bytes: usize,
    limit: OutputLimit,
    readers: u64,
    /// Since when a primary has no replicas; `None` while it has some.
    lonely_since: Option<Millis>,
}

impl Stream {
    /// The stream of a server that starts without data.
    pub fn new(id: ReplId, backlog_bytes: usize, limit: OutputLimit) -> Self {
        Self {
            history: History::new(id),
            backlog: None,
            db: None,
            resumable: false,
            backlog_bytes,
            limit,
            readers: 0,
            lonely_since: None,
        }
    }

    /// A primary has loaded a file with `saved` in it: replicas that were in the file's history may
    /// go on.
    pub fn restore_primary(&mut self, new_id: ReplId, saved: &Saved) {
        self.history = History::restored_primary(new_id, saved);
        self.db = None;
        self.make_backlog();
    }

    /// A replica has loaded a file with `saved` in it: it may ask its primary to go on from there.
    pub fn restore_replica(&mut self, saved: &Saved) {
        self.history = History::restored_replica(saved);
        self.db = Some(saved.db);
        self.resumable = true;
        self.make_backlog();
    }

    /// The ids and the offset.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The backlog, if there is one.
    pub const fn backlog(&self) -> Option<&Backlog> {
        self.backlog.as_ref()
    }

    /// The offset of the last byte: what a client's writes so far reach to at most.
    #[inline]
    pub const fn offset(&self) -> u64 {
        self.history.offset()
    }

    /// Whether appending does anything.
    #[inline]
    pub const fn is_active(&self) -> bool {
        self.backlog.is_some()
    }

    /// The database that is selected in the stream.
    pub const fn db(&self) -> Option<u32> {
        self.db
    }

    /// What a file written now has to keep; `None` if nobody could go on from it.
    /// (Redis 7.0: a primary without backlog writes no ids.)
    pub fn saved(&self) -> Option<Saved> {
        self.is_active().then(|| Saved {
            id: self.history.id(),
            offset: self.history.offset(),
            db: self.db.unwrap_or(0),
        })
    }

    /// What to ask a primary for: the id and the next byte; `None`: all (`PSYNC ? -1`).
    pub fn wanted(&self) -> Option<(ReplId, u64)> {
        self.resumable
            .then(|| (self.history.id(), self.history.next()))
    }

    // ---- settings --------------------------------------------------------------------------------

    /// `repl-backlog-size` has changed.
    pub fn set_backlog_bytes(&mut self, bytes: usize) {
        self.backlog_bytes = bytes;
        if let Some(backlog) = &mut self.backlog {
            backlog.resize(bytes);
        }
    }

    /// `client-output-buffer-limit replica` has changed.
    pub fn set_output_limit(&mut self, limit: OutputLimit) {
        self.limit = limit;
        if let Some(backlog) = &mut self.backlog {
            backlog.set_limit(limit);
        }
    }

    // ---- roles -----------------------------------------------------------------------------------

    /// The first replica asks for a synchronisation. Without a backlog the offset stood still while
    /// data changed, so the id may name other data by now: a new one is taken.
    pub fn start_backlog(&mut self, new_id: ReplId) -> Option<LogLine> {
        if self.backlog.is_some() {
            return None;
        }
        self.history.restart(new_id);
        self.make_backlog();
        Some(LogLine::notice(format!(
            "Replication backlog created, my new replication IDs are '{}' and '{}'",
            self.history.id(),
            self.history.second_id_shown()
        )))
    }

    /// Gives the history another name, as if it were another's (DEBUG CHANGE-REPL-ID).
    pub fn change_id(&mut self, new_id: ReplId) {
        self.history.restart(new_id);
    }

    /// To be called each second on a primary: `replicas` are attached now. Frees the backlog once
    /// there were none for `ttl_ms` (`repl-backlog-ttl`; 0: never), and takes a new id, since
    /// from then on the offset stands still.
    pub fn tick_primary(
        &mut self,
        now: Millis,
        replicas: usize,
        ttl_ms: Millis,
        new_id: ReplId,
    ) -> Option<LogLine> {
        if replicas > 0 {
            self.lonely_since = None;
            return None;
        }
        let since = *self.lonely_since.get_or_insert(now);
        if ttl_ms == 0 || !self.is_active() || now.saturating_sub(since) <= ttl_ms {
            return None;
        }
        self.history.restart(new_id);
        self.backlog = None;
        Some(LogLine::notice(format!(
            "Replication backlog freed after {} seconds without connected replicas.",
            ttl_ms / 1000
        )))
    }

    /// This replica becomes a primary. Its readers are cut off: their replicas have to come again,
    /// to learn the new id, and will be able to go on. (Redis 7.0 the same.)
    pub fn promote(&mut self, new_id: ReplId) -> Vec<LogLine> {
        self.history.promote(new_id);
        self.cut_off_readers();
        let mut log = Vec::new();
        if self.resumable {
            log.push(LogLine::notice(
                "Discarding previously cached master state.",
            ));
        }
        // The next command must select its database: the old primary, should it come back as a
        // replica, may not know which one is selected (see `forget_db`).
        self.db = None;
        self.resumable = false;
        self.lonely_since = None;
        log.push(LogLine::warning(format!(
            "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID is {}",
            self.history.second_id_shown(),
            self.history.second_offset_shown(),
            self.history.id()
        )));
        log
    }

    /// This primary becomes a replica. Its history may be one that the new primary continues, so it
    /// will be asked to.
    pub fn demote(&mut self) -> LogLine {
        self.resumable = true;
        self.make_backlog();
        LogLine::notice(
            "Before turning into a replica, using my own master parameters to synthesize a cached \
             master: I may be able to synchronize with the new master with just a partial transfer.",
        )
    }

    /// The data are about to be replaced by those of a full synchronisation, whose payload has
    /// arrived. Up to then they stay resumable. Readers are cut off, and their replicas have to
    /// come again: what they have is not part of the new history.
    pub fn begin_full_sync(&mut self) -> Option<LogLine> {
        self.backlog = None;
        std::mem::take(&mut self.resumable)
            .then(|| LogLine::notice("Discarding previously cached master state."))
    }

    /// A full synchronisation from a primary that names no history is done: as [`adopt`](
    /// Self::adopt), but nobody can go on from here.
    pub fn adopt_nameless(&mut self, new_id: ReplId, db: u32) {
        self.adopt(new_id, 0, db);
        self.resumable = false;
    }

    /// A full synchronisation is done: the data are those of the primary's history at `offset`, with
    /// `db` selected in its stream.
    pub fn adopt(&mut self, id: ReplId, offset: u64, db: u32) {
        self.history.adopt(id, offset);
        self.db = Some(db);
        self.resumable = true;
        self.backlog = None;
        self.make_backlog();
    }

    /// The primary has answered +CONTINUE, with an id if it knows PSYNC2. Returns whether that is a
    /// new one: then the readers are cut off, as with [`promote`](Self::promote).
    pub fn resume(&mut self, id: Option<ReplId>) -> bool {
        let changed = id.is_some_and(|id| self.history.continue_as(id));
        if changed {
            self.cut_off_readers();
        }
        self.make_backlog();
        changed
    }

    fn cut_off_readers(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            backlog.detach_all();
        }
    }

    fn make_backlog(&mut self) {
        if self
            .backlog
            .as_ref()
            .is_none_or(|backlog| backlog.next() != self.history.next())
        {
            self.backlog = Some(Backlog::new(
                self.history.next(),
                self.backlog_bytes,
                self.limit,
            ));
        }
    }

    // ---- writing ---------------------------------------------------------------------------------

    /// Appends a command of a primary that ran in database `db`. Does nothing without a backlog.
    #[inline]
    pub fn append_command<'a, I>(&mut self, db: u32, args: I)
    where
        I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator + Clone>,
    {
        if self.backlog.is_none() {
            return;
        }
        if self.db != Some(db) {
            self.select(db);
        }
        let args = args.into_iter();
        let most = args.clone().map(|arg| arg.len() + HEADER_MAX_BYTES + 2);
        let most = HEADER_MAX_BYTES + most.sum::<usize>();
        let Some(backlog) = &mut self.backlog else {
            return;
        };
        if let Some(tail) = backlog.tail_with_room(most) {
            let before = tail.len();
            encode::put_header(tail, b'*', args.len());
            for arg in args {
                encode::put_bulk(tail, arg);
            }
            let bytes = tail.len() - before;
            self.history.advance(bytes as u64);
        } else {
            self.append_in_pieces(args);
        }
    }

    /// Appends a command of a primary that is encoded already, as a RESP array of bulk strings.
    pub fn append_encoded(&mut self, db: u32, resp: &[u8]) {
        if self.is_active() && self.db != Some(db) {
            self.select(db);
        }
        self.append(resp);
    }

    /// Begins a transaction in the stream, whose first command will run in database `db`: what
    /// follows until [`append_exec`](Self::append_exec) is applied at once or not at all.
    /// (Redis 7.0: a SELECT comes before the MULTI; a single command stands without either.)
    pub fn append_multi(&mut self, db: u32) {
        if self.is_active() && self.db != Some(db) {
            self.select(db);
        }
        self.append(encode::MULTI);
    }

    /// Ends a transaction.
    pub fn append_exec(&mut self) {
        self.append(encode::EXEC);
    }

    /// What keeps a link alive, each `repl-ping-replica-period`.
    pub fn append_ping(&mut self) {
        self.append(encode::PING);
    }

    /// Asks all replicas for their offsets. (Redis 7.0: once before the event loop sleeps, if a
    /// client has begun to WAIT; not while writes are paused.)
    pub fn append_getack(&mut self) {
        self.append(encode::GETACK);
    }

    /// Appends what a primary has sent, as it came, after which `db` is selected in its stream.
    ///
    /// The caller makes it end at the end of a transaction or of a command outside of one.
    pub fn append_raw(&mut self, raw: &[u8], db: u32) {
        self.append(raw);
        self.db = Some(db);
    }

    /// The next command selects its database, whatever is selected: to be called at a primary's cut
    /// for a full synchronisation. (A replica's cut keeps [`db`](Self::db) in the RDB instead: it
    /// cannot put a SELECT into its primary's stream.)
    pub fn forget_db(&mut self) {
        self.db = None;
    }

    #[cold]
    fn select(&mut self, db: u32) {
        let mut digits = itoa::Buffer::new();
        let select = encode::command_bytes(&[b"SELECT", digits.format(db).as_bytes()]);
        self.append(&select);
        self.db = Some(db);
    }

    /// A command that needs a new block: its small parts are collected, its large ones are copied
    /// once, from where they are into blocks.
    #[cold]
    fn append_in_pieces<'a>(&mut self, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        let mut header = Vec::with_capacity(2 + HEADER_MAX_BYTES);
        encode::put_header(&mut header, b'*', args.len());
        for arg in args {
            encode::put_header(&mut header, b'$', arg.len());
            self.append(&header);
            self.append(arg);
            header.clear();
            header.extend_from_slice(b"\r\n");
        }
        self.append(&header);
    }

    fn append(&mut self, bytes: &[u8]) {
        if let Some(backlog) = &mut self.backlog {
            backlog.append(bytes);
            self.history.advance(bytes.len() as u64);
        }
    }

    // ---- reading ---------------------------------------------------------------------------------

    /// Attaches a reader that wants all from byte `next` on; `None` if that is not there. What it
    /// has not read is kept for it until it is detached or beyond the limit.
    ///
    /// For a full synchronisation attach at the cut, at `history().next()`.
    pub fn attach(&mut self, next: u64) -> Option<ReaderId> {
        let id = ReaderId(self.readers);
        self.readers += 1;
        self.backlog.as_mut()?.attach(id, next).then_some(id)
    }

    /// Forgets a reader.
    pub fn detach(&mut self, reader: ReaderId) {
        if let Some(backlog) = &mut self.backlog {
            backlog.detach(reader);
        }
    }

    /// Whether anybody reads.
    pub fn has_readers(&self) -> bool {
        self.backlog.as_ref().is_some_and(Backlog::has_readers)
    }

    /// Up to `max` bytes from where the reader is, appended to `out` as slices in order; returns how
    /// many bytes. Reading moves nothing: [`advance`](Self::advance) does.
    pub fn read(
        &self,
        reader: ReaderId,
        max: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<usize, ReadError> {
        let backlog = self.backlog.as_ref().ok_or(ReadError::Gone)?;
        backlog.read(reader, max, out)
    }

    /// The replica's socket has taken `bytes` more.
    pub fn advance(&mut self, reader: ReaderId, bytes: usize) -> Result<(), ReadError> {
        let backlog = self.backlog.as_mut().ok_or(ReadError::Gone)?;
        backlog.advance(reader, bytes)
    }

    /// How many bytes a reader has before it: what counts as its replica's output buffer.
    pub fn pending(&self, reader: ReaderId) -> Result<u64, ReadError> {
        let backlog = self.backlog.as_ref().ok_or(ReadError::Gone)?;
        backlog.pending(reader)
    }

    /// Drops some more of what nobody wants any more; returns whether there may be yet more. Each
    /// new block does so too, but where little is written it takes long: call it, letting go of the
    /// lock in between, when a reader has been detached or cut off, or the size has changed.
    pub fn trim(&mut self) -> bool {
        self.backlog.as_mut().is_some_and(Backlog::trim)
    }

    /// To be called each 100 ms or so: the readers beyond `client-output-buffer-limit replica`,
    /// whose replicas have to be disconnected. (The hard limit also counts with every new block.)
    pub fn check_limits(&mut self, now: Millis) -> Vec<ReaderId> {
        let backlog = self.backlog.as_mut();
        backlog.map_or_else(Vec::new, |backlog| backlog.check_limits(now))
    }
}
