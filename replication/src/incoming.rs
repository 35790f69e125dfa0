//! The primary's stream, cut into what a replica applies at once.

use std::collections::VecDeque;
use std::ops::Range;

use hexad_resp::parse_i64;
use hexad_resp::{ArgRange, Args, INLINE_MAX_BYTES, Limits, Parsed, ProtocolError, RequestParser};
use thiserror::Error;

/// Memory of an empty buffer that is kept for the next bytes.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// What a primary may send.
#[derive(Clone, Copy, Debug)]
pub struct IncomingLimits {
    /// `databases`: SELECT of another one means that the two do not fit together.
    pub databases: u32,
    /// The longest command or transaction. It has to be there as a whole before it is applied, so
    /// this bounds the memory that a primary can make this server use. (Redis 7.0 sets none.)
    pub max_unit_bytes: u64,
}

impl Default for IncomingLimits {
    fn default() -> Self {
        Self {
            databases: 16,
            max_unit_bytes: 64 << 30,
        }
    }
}

/// Why the stream cannot be followed. The data may be another than the primary's from here on, so
/// nothing but a full synchronisation helps.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IncomingError {
    /// These are no commands.
    #[error("protocol error from the primary: {0}")]
    Protocol(#[from] ProtocolError),
    /// A quoted inline command, which no primary sends.
    #[error("the primary sent an inline command with quotes")]
    QuotedInline,
    /// A database that this server does not have.
    #[error("the primary selected a database that this server does not have")]
    NoSuchDatabase,
    /// MULTI in a transaction.
    #[error("the primary began a transaction within a transaction")]
    NestedMulti,
    /// EXEC or DISCARD outside of a transaction.
    #[error("the primary ended a transaction that it had not begun")]
    NoMulti,
    /// More than [`IncomingLimits::max_unit_bytes`].
    #[error("a command or transaction of the primary has more than {0} bytes")]
    TooLarge(u64),
}

/// What a [`Unit`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// One command.
    Command,
    /// The commands between MULTI and EXEC, to be applied at once.
    Transaction,
    /// The primary asks for a REPLCONF ACK: how far the stream was applied *before* this unit.
    GetAck,
    /// Nothing to apply: SELECT, PING, an empty line, an empty transaction.
    Nothing,
}

/// What is applied at once, and moves the offset at once.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// What it is.
    pub kind: UnitKind,
    /// Its bytes as they came, for the own backlog ([`crate::Stream::append_raw`]).
    pub raw: &'a [u8],
    /// The offset of its last byte.
    pub end: u64,
    /// The database that is selected behind it.
    pub db: u32,
    ranges: &'a [ArgRange],
    commands: &'a [Command],
}

/// The commands of a [`Unit`]: the database and the arguments of each.
#[derive(Clone, Debug)]
pub struct UnitCommands<'a> {
    unit: Unit<'a>,
    left: std::slice::Iter<'a, Command>,
}

/// The stream of a primary as it arrives.
///
/// 1. [`feed`](Self::feed) or [`receive`](Self::receive) what has arrived.
/// 2. [`cut`](Self::cut) some of it; [`units`](Self::units) are what can be applied.
/// 3. After each unit or after all of them, [`applied`](Self::applied) moves the offset.
/// 4. Again from 2 until there are no units, then from 1.
///
/// Everything in between a MULTI and its EXEC is one unit: it shows up when the EXEC is there. What
/// is not applied when the link breaks is forgotten; a partial synchronisation at
/// [`offset`](Self::offset) with [`db`](Self::db) selected goes on there.
#[derive(Debug)]
pub struct Incoming {
    limits: IncomingLimits,
    parser: RequestParser,
    buffer: Vec<u8>,
    /// How many bytes of the stream are before the buffer.
    before: u64,
    /// Where in the buffer the first command is that is not cut.
    cut: usize,
    offset: u64,
    /// The database selected at `offset`.
    db: u32,
    /// The database selected at `cut`.
    cut_db: u32,
    /// What is cut and whole.
    units: VecDeque<UnitSpan>,
    commands: Vec<Command>,
    ranges: Vec<ArgRange>,
    /// The transaction whose EXEC is not cut yet.
    open: Option<OpenTransaction>,
}

/// A unit of `commands` and `ranges`; its arguments are relative to its first byte.
#[derive(Debug)]
struct UnitSpan {
    kind: UnitKind,
    bytes: Range<usize>,
    commands: Range<usize>,
    db: u32,
}

#[derive(Clone, Debug)]
struct Command {
    db: u32,
    ranges: Range<usize>,
}

#[derive(Debug)]
struct OpenTransaction {
    start: usize,
    /// The database before it.
    db: u32,
    commands: Vec<Command>,
    ranges: Vec<ArgRange>,
}

impl Incoming {
    /// The stream from byte `offset + 1` on, with `db` selected.
    pub fn new(offset: u64, db: u32, limits: IncomingLimits) -> Self {
        Self {
            limits,
            parser: RequestParser::new(),
            buffer: Vec::new(),
            before: offset,
            cut: 0,
            offset,
            db,
            cut_db: db,
            units: VecDeque::new(),
            commands: Vec::new(),
            ranges: Vec::new(),
            open: None,
        }
    }

    /// How far the stream is applied: what REPLCONF ACK says.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// How far it has arrived (INFO's `slave_read_repl_offset`).
    pub const fn read_offset(&self) -> u64 {
        self.before + self.buffer.len() as u64
    }

    /// The database selected at [`offset`](Self::offset).
    pub const fn db(&self) -> u32 {
        self.db
    }

    /// Takes in what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.receive(|buffer| buffer.extend_from_slice(bytes));
    }

    /// Lets `read` append what has arrived to the buffer, where it stays until it is applied. What
    /// is in the buffer must not be changed.
    pub fn receive<R>(&mut self, read: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.drop_applied_bytes();
        read(&mut self.buffer)
    }

    /// Cuts up to `max_commands` more commands. Returns whether there may be more in what has
    /// arrived. After an error there will be no more units than those before it.
    pub fn cut(&mut self, max_commands: usize) -> Result<bool, IncomingError> {
        for _ in 0..max_commands {
            if !self.cut_one()? {
                return Ok(false);
            }
        }
        Ok(self.cut < self.buffer.len())
    }

    /// What is cut and not applied, in order.
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        self.units.iter().map(|unit| Unit {
            kind: unit.kind,
            raw: &self.buffer[unit.bytes.clone()],
            end: self.before + unit.bytes.end as u64,
            db: unit.db,
            ranges: &self.ranges,
            commands: &self.commands[unit.commands.clone()],
        })
    }

    /// All units up to this offset ([`Unit::end`]) are applied.
    pub fn applied(&mut self, offset: u64) {
        while let Some(unit) = self.units.front() {
            let end = self.before + unit.bytes.end as u64;
            if end > offset {
                return;
            }
            (self.offset, self.db) = (end, unit.db);
            self.units.pop_front();
        }
        self.commands.clear();
        self.ranges.clear();
    }

    fn drop_applied_bytes(&mut self) {
        if !self.units.is_empty() {
            return;
        }
        let kept = self.open.as_ref().map_or(self.cut, |open| open.start);
        if kept == self.buffer.len() {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        } else if kept >= self.buffer.len() / 2 {
            // Never more bytes are moved than are dropped.
            self.buffer.drain(..kept);
        } else {
            return;
        }
        self.before += kept as u64;
        self.cut -= kept;
        if let Some(open) = &mut self.open {
            open.start -= kept;
        }
    }

    /// Cuts one command; false if it is not there as a whole.
    fn cut_one(&mut self) -> Result<bool, IncomingError> {
        let start = self.open.as_ref().map_or(self.cut, |open| open.start);
        let (base, ranges) = match &mut self.open {
            Some(open) => (self.cut - open.start, &mut open.ranges),
            None => (0, &mut self.ranges),
        };
        let first = ranges.len();
        let rest = &mut self.buffer[self.cut..];
        check_inline(rest)?;
        let limits = Limits {
            max_bulk_bytes: self.limits.max_unit_bytes,
            max_multibulk: Limits::MAX_MULTIBULK,
            authenticated: true,
        };
        let Parsed::Complete { consumed } = self.parser.parse(rest, base, ranges, &limits)? else {
            let arrived = self.buffer.len() - start;
            return check_size(arrived, &self.limits).map(|()| false);
        };
        check_size(self.cut + consumed - start, &self.limits)?;
        let command = first..ranges.len();
        let args = Args::new(&self.buffer[start..], &ranges[command.clone()]);
        let verb = Verb::of(&args, self.limits.databases)?;
        let bytes = start..self.cut + consumed;
        self.cut = bytes.end;
        match self.open.take() {
            Some(open) => self.in_transaction(open, verb, command, bytes.end)?,
            None => self.outside(verb, command, bytes)?,
        }
        Ok(true)
    }

    fn outside(
        &mut self,
        verb: Verb,
        command: Range<usize>,
        bytes: Range<usize>,
    ) -> Result<(), IncomingError> {
        let kind = match verb {
            Verb::Multi => {
                self.ranges.truncate(command.start);
                self.open = Some(OpenTransaction {
                    start: bytes.start,
                    db: self.cut_db,
                    commands: Vec::new(),
                    ranges: Vec::new(),
                });
                return Ok(());
            }
            Verb::Exec | Verb::Discard => return Err(IncomingError::NoMulti),
            Verb::Select(db) => {
                self.cut_db = db;
                UnitKind::Nothing
            }
            Verb::Nothing => UnitKind::Nothing,
            Verb::GetAck => UnitKind::GetAck,
            Verb::Data => UnitKind::Command,
        };
        let first = self.commands.len();
        if kind == UnitKind::Command {
            self.commands.push(Command {
                db: self.cut_db,
                ranges: command,
            });
        } else {
            self.ranges.truncate(command.start);
        }
        self.push_unit(kind, bytes, first);
        Ok(())
    }

    fn in_transaction(
        &mut self,
        mut open: OpenTransaction,
        verb: Verb,
        command: Range<usize>,
        end: usize,
    ) -> Result<(), IncomingError> {
        match verb {
            Verb::Multi => return Err(IncomingError::NestedMulti),
            Verb::Exec => self.close(&open, end),
            Verb::Discard => {
                self.cut_db = open.db;
                open.commands.clear();
                self.close(&open, end);
            }
            Verb::Data => {
                open.commands.push(Command {
                    db: self.cut_db,
                    ranges: command,
                });
                self.open = Some(open);
            }
            Verb::Select(_) | Verb::Nothing | Verb::GetAck => {
                if let Verb::Select(db) = verb {
                    self.cut_db = db;
                }
                open.ranges.truncate(command.start);
                self.open = Some(open);
            }
        }
        Ok(())
    }

    fn close(&mut self, open: &OpenTransaction, end: usize) {
        let (first, base) = (self.commands.len(), self.ranges.len());
        self.ranges.extend_from_slice(&open.ranges);
        self.commands
            .extend(open.commands.iter().map(|command| Command {
                db: command.db,
                ranges: command.ranges.start + base..command.ranges.end + base,
            }));
        let kind = match open.commands.as_slice() {
            [] => UnitKind::Nothing,
            _ => UnitKind::Transaction,
        };
        self.push_unit(kind, open.start..end, first);
    }

    fn push_unit(&mut self, kind: UnitKind, bytes: Range<usize>, first_command: usize) {
        self.units.push_back(UnitSpan {
            kind,
            bytes,
            commands: first_command..self.commands.len(),
            db: self.cut_db,
        });
    }
}

impl<'a> Unit<'a> {
    /// Its commands: the database and the arguments of each.
    pub fn commands(&self) -> UnitCommands<'a> {
        UnitCommands {
            unit: *self,
            left: self.commands.iter(),
        }
    }
}

impl<'a> Iterator for UnitCommands<'a> {
    type Item = (u32, Args<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let command = self.left.next()?;
        let ranges = &self.unit.ranges[command.ranges.clone()];
        Some((command.db, Args::new(self.unit.raw, ranges)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for UnitCommands<'_> {}

/// What matters of a command to the cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Multi,
    Exec,
    Discard,
    Select(u32),
    GetAck,
    Nothing,
    Data,
}

impl Verb {
    fn of(args: &Args<'_>, databases: u32) -> Result<Self, IncomingError> {
        let Some(name) = args.get(0) else {
            return Ok(Self::Nothing);
        };
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        Ok(match name.len() {
            4 if is(b"PING") => Self::Nothing,
            4 if is(b"EXEC") => Self::Exec,
            5 if is(b"MULTI") => Self::Multi,
            6 if is(b"SELECT") => {
                let db = args.get(1).and_then(parse_i64).map(u32::try_from);
                match db {
                    Some(Ok(db)) if db < databases => Self::Select(db),
                    _ => return Err(IncomingError::NoSuchDatabase),
                }
            }
            7 if is(b"DISCARD") => Self::Discard,
            8 if is(b"REPLCONF") => match args.get(1) {
                Some(option) if option.eq_ignore_ascii_case(b"GETACK") => Self::GetAck,
                _ => Self::Nothing,
            },
            _ => Self::Data,
        })
    }
}

/// Whether a unit of so many bytes is still within the limits, whole or not.
fn check_size(bytes: usize, limits: &IncomingLimits) -> Result<(), IncomingError> {
    match bytes as u64 > limits.max_unit_bytes {
        true => Err(IncomingError::TooLarge(limits.max_unit_bytes)),
        false => Ok(()),
    }
}

/// The parser undoes quotes in place, but the bytes are still needed as they came.
fn check_inline(rest: &[u8]) -> Result<(), IncomingError> {
    if rest.first().is_none_or(|&byte| byte == b'*') {
        return Ok(());
    }
    let line = &rest[..rest.len().min(INLINE_MAX_BYTES + 1)];
    let line = match memchr::memchr(b'\n', line) {
        Some(end) => &line[..end],
        None => line,
    };
    match memchr::memchr2(b'"', b'\'', line) {
        Some(_) => Err(IncomingError::QuotedInline),
        None => Ok(()),
    }
}
