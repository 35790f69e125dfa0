//! Reading a file as it arrives.

use std::mem;

use crate::input::{Input, Span, Stop};
use crate::value::ValueSpan;
use crate::{Checksum, Error, Event, Record, Trailer, Type, VERSION_MAX, opcode};

/// First version with a checksum at the end.
const CHECKSUM_SINCE: u16 = 5;
/// What the names of modules are made of, six bits a letter.
const NAME_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// A buffer that a large string has made larger than this is given back once it is empty.
const KEPT_BYTES: usize = 1 << 20;
/// Strings longer than this are refused unless the caller allows more: the store's longest key.
const MAX_STRING_BYTES: u64 = u32::MAX as u64;

/// A parser of RDB files that is given bytes and gives events.
///
/// * [`feed`](Self::feed) it bytes, cut anywhere; then call [`next`](Self::next) until it gives
///   `None`: more bytes are needed, or the file is over ([`is_done`](Self::is_done)). An event
///   borrows from the decoder until the next call.
/// * An error is final: the same one comes from then on.
/// * When no more bytes will come, [`finish`](Self::finish) tells whether the file was whole.
/// * Bytes behind the end of the file are left alone: [`rest`](Self::rest).
///
/// It holds at most the event that has not arrived in full, and the piece fed last; a length that
/// the file claims takes no memory until the bytes are there. Packed strings take up to 88 times
/// their packed length, and no more than the limit for strings.
#[derive(Debug)]
pub struct Decoder {
    /// The bytes that were fed but for the consumed ones of earlier pieces.
    buffer: Vec<u8>,
    /// How many bytes of the buffer are consumed.
    at: usize,
    /// How many bytes came before the buffer's first.
    before: u64,
    /// The checksum of all bytes before the buffer and the first `summed` of it; behind `at` while an
    /// event is incomplete, because its bytes are summed as they arrive.
    checksum: Option<Checksum>,
    summed: usize,
    max_string_bytes: u64,
    state: State,
    version: u16,
    /// What was said about the next key.
    lifetime: Lifetime,
    /// Room for what does not stand in the buffer as it is.
    key_scratch: Vec<u8>,
    value_scratch: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Magic,
    Body,
    Trailer,
    Done,
    Failed(Error),
}

#[derive(Clone, Copy, Debug, Default)]
struct Lifetime {
    expire_at: Option<i64>,
    idle_s: Option<u64>,
    freq: Option<u8>,
}

/// An item of the file: where its parts lie.
#[derive(Debug)]
enum Item {
    Aux { key: Span, value: Span },
    SelectDb(u32),
    ResizeDb { keys: u64, volatile: u64 },
    SlotInfo { slot: u64, keys: u64, volatile: u64 },
    Function { library: Span },
    Record { key: Span, value: ValueSpan },
    Eof(Trailer),
}

impl Decoder {
    /// At the start of a file. `verify`: whether the checksum is computed and compared
    /// (`rdbchecksum`).
    #[must_use]
    pub fn new(verify: bool) -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            before: 0,
            checksum: verify.then(Checksum::new),
            summed: 0,
            max_string_bytes: MAX_STRING_BYTES,
            state: State::Magic,
            version: 0,
            lifetime: Lifetime::default(),
            key_scratch: Vec::new(),
            value_scratch: Vec::new(),
        }
    }

    /// Refuses strings longer than this, instead of 4 GiB.
    #[must_use]
    pub fn max_string_bytes(mut self, max: u64) -> Self {
        self.max_string_bytes = max;
        self
    }

    /// Takes the next bytes of the file. Call [`next`](Self::next) until it gives `None` before more
    /// are fed, or they pile up.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            // An incomplete item is moved once: then it stands at the front until it is complete.
            self.sum_up_to(self.at);
            self.buffer.drain(..self.at);
            self.before += self.at as u64;
            self.summed -= self.at;
            self.at = 0;
        }
        if self.buffer.is_empty() {
            give_back(&mut self.buffer);
        }
        give_back(&mut self.key_scratch);
        give_back(&mut self.value_scratch);
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or `None` if more bytes are needed or the file is over.
    #[expect(
        clippy::should_implement_trait,
        reason = "events borrow from the decoder, which an iterator's items cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        let Some(item) = self.next_item()? else {
            return Ok(None);
        };
        if let Err(error) = self.unpack(&item) {
            self.state = State::Failed(error.clone());
            return Err(error);
        }
        Ok(Some(self.event(item)))
    }

    /// Whether the file is over.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// To be called when no more bytes will come: fails unless the file is over.
    pub fn finish(&self) -> Result<(), Error> {
        match &self.state {
            State::Done => Ok(()),
            State::Failed(error) => Err(error.clone()),
            _ => Err(Error::Truncated(self.before + self.buffer.len() as u64)),
        }
    }

    /// The bytes that were fed and not consumed: once the file is over, those behind it.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// How many bytes of the file are consumed.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.before + self.at as u64
    }

    /// The version of the file; 0 before its header has arrived.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The next item that is an event.
    fn next_item(&mut self) -> Result<Option<Item>, Error> {
        loop {
            let taken = match &self.state {
                State::Magic => self.take_magic(),
                State::Body => self.take_item(),
                State::Trailer => self.take_trailer(),
                State::Done => return Ok(None),
                State::Failed(error) => return Err(error.clone()),
            };
            match taken {
                Ok(None) => {}
                Ok(Some(item)) => return Ok(Some(item)),
                Err(Stop::More) => {
                    // All that is there belongs to one item, or to the checksum itself.
                    if !matches!(self.state, State::Trailer) {
                        self.sum_up_to(self.buffer.len());
                    }
                    return Ok(None);
                }
                Err(Stop::Bad(error)) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn take_magic(&mut self) -> Result<Option<Item>, Stop> {
        let mut input = self.input();
        let (magic, digits) = (input.array()?, input.array::<4>()?);
        let at = input.at();
        let version = std::str::from_utf8(&digits).ok();
        let version = version.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let version = version.and_then(|text| text.parse().ok());
        let version = version.filter(|_| &magic == opcode::MAGIC);
        self.version = version.ok_or(Error::Signature)?;
        if !(1..=VERSION_MAX).contains(&self.version) {
            return Err(Error::Version(self.version).into());
        }
        self.at = at;
        self.state = State::Body;
        Ok(None)
    }

    #[inline]
    fn take_item(&mut self) -> Result<Option<Item>, Stop> {
        let mut input = Input::new(&self.buffer, self.at, self.max_string_bytes);
        let item = match input.byte()? {
            opcode::EXPIRETIME_MS => {
                self.lifetime.expire_at = Some(i64::from_le_bytes(input.array()?));
                None
            }
            opcode::EXPIRETIME => {
                let seconds = i32::from_le_bytes(input.array()?);
                self.lifetime.expire_at = Some(i64::from(seconds) * 1000);
                None
            }
            opcode::IDLE => {
                self.lifetime.idle_s = Some(input.length()?);
                None
            }
            opcode::FREQ => {
                self.lifetime.freq = Some(input.byte()?);
                None
            }
            opcode::SELECTDB => {
                let db = input.length()?;
                Some(Item::SelectDb(
                    u32::try_from(db).map_err(|_| Error::Database(db))?,
                ))
            }
            opcode::RESIZEDB => Some(Item::ResizeDb {
                keys: input.length()?,
                volatile: input.length()?,
            }),
            opcode::SLOT_INFO => Some(Item::SlotInfo {
                slot: input.length()?,
                keys: input.length()?,
                volatile: input.length()?,
            }),
            opcode::AUX => Some(Item::Aux {
                key: input.string()?,
                value: input.string()?,
            }),
            opcode::FUNCTION2 => Some(Item::Function {
                library: input.string()?,
            }),
            opcode::FUNCTION_PRE_GA => return Err(Error::PreReleaseFunction.into()),
            opcode::MODULE_AUX => {
                return Err(Error::ModuleData(module_name(input.length()?)).into());
            }
            opcode::EOF => {
                self.at = input.at();
                self.state = State::Trailer;
                return Ok(None);
            }
            type_byte => {
                let kind = Type::from_byte(type_byte)?;
                Some(Item::Record {
                    key: input.string()?,
                    value: ValueSpan::take(kind, &mut input)?,
                })
            }
        };
        self.at = input.at();
        Ok(item)
    }

    fn take_trailer(&mut self) -> Result<Option<Item>, Stop> {
        let mut trailer = Trailer::Unverified;
        if self.version >= CHECKSUM_SINCE {
            let mut input = self.input();
            let stored = u64::from_le_bytes(input.array()?);
            let end = input.at();
            self.sum_up_to(self.at);
            // Who wrote no checksum wrote 0.
            if let Some(checksum) = self.checksum.as_ref().filter(|_| stored != 0) {
                let computed = checksum.value();
                if stored != computed {
                    return Err(Error::Checksum { stored, computed }.into());
                }
                trailer = Trailer::Verified;
            }
            self.at = end;
        }
        self.state = State::Done;
        Ok(Some(Item::Eof(trailer)))
    }

    fn input(&self) -> Input<'_> {
        Input::new(&self.buffer, self.at, self.max_string_bytes)
    }

    fn sum_up_to(&mut self, end: usize) {
        if end > self.summed {
            if let Some(checksum) = &mut self.checksum {
                checksum.update(&self.buffer[self.summed..end]);
            }
            self.summed = end;
        }
    }

    #[inline]
    fn unpack(&mut self, item: &Item) -> Result<(), Error> {
        let (buffer, keys, values) = (&self.buffer, &mut self.key_scratch, &mut self.value_scratch);
        match item {
            Item::Record { key, value } => {
                key.unpack(buffer, keys)?;
                value.unpack(buffer, values)
            }
            Item::Aux { key, value } => {
                key.unpack(buffer, keys)?;
                value.unpack(buffer, values)
            }
            Item::Function { library } => library.unpack(buffer, values),
            _ => Ok(()),
        }
    }

    #[inline]
    fn event(&mut self, item: Item) -> Event<'_> {
        let (buffer, keys, values) = (&self.buffer, &self.key_scratch, &self.value_scratch);
        match item {
            Item::Record { key, value } => {
                let Lifetime {
                    expire_at,
                    idle_s,
                    freq,
                } = mem::take(&mut self.lifetime);
                Event::Record(Record {
                    key: key.bytes(buffer, keys),
                    value: value.value(buffer, values),
                    expire_at,
                    idle_s,
                    freq,
                })
            }
            Item::Aux { key, value } => Event::Aux {
                key: key.bytes(buffer, keys),
                value: value.bytes(buffer, values),
            },
            Item::Function { library } => Event::Function {
                library: library.bytes(buffer, values),
            },
            Item::SelectDb(db) => Event::SelectDb(db),
            Item::ResizeDb { keys, volatile } => Event::ResizeDb { keys, volatile },
            Item::SlotInfo {
                slot,
                keys,
                volatile,
            } => Event::SlotInfo {
                slot,
                keys,
                volatile,
            },
            Item::Eof(trailer) => Event::Eof(trailer),
        }
    }
}

/// Frees a buffer that has become large.
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_BYTES {
        *buffer = Vec::new();
    }
}

/// The name in a module's id: nine letters, above ten bits of a version (Redis 7.0: module.c).
fn module_name(id: u64) -> String {
    let letters = (0..9).rev().map(|place| {
        let index = id >> (10 + 6 * place) & 0x3F;
        char::from(NAME_LETTERS[index as usize])
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use crate::Error;

    /// Bytes that the decoder holds once it has got `body` behind a header.
    fn held(body: &[u8]) -> (usize, Result<(), Error>) {
        let mut decoder = Decoder::new(true);
        decoder.feed(b"REDIS0010");
        assert_eq!(decoder.next(), Ok(None));
        decoder.feed(body);
        let end = decoder.next().map(|event| assert!(event.is_none()));
        let buffers = [
            &decoder.buffer,
            &decoder.key_scratch,
            &decoder.value_scratch,
        ];
        (buffers.map(Vec::capacity).iter().sum(), end)
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        assert_eq!(held(b"\x00\x80\xff\xff\xff\xff").1, Ok(()));
        for body in [
            // A key and a value of 4 GiB.
            &b"\x00\x80\xff\xff\xff\xffkey"[..],
            b"\x00\x03key\x80\xff\xff\xff\xffvalue",
            // Compressed bytes that stand for 4 GiB: not there yet, too few, wrong.
            b"\x00\x03key\xc3\x80\xff\xff\xff\xff\x80\xff\xff\xff\xffpacked",
            b"\x00\x03key\xc3\x06\x80\xff\xff\xff\xffpacked",
            b"\x00\x03key\xc3\x06\x42\x10\x20\x01\x20\x01\x20\x01",
        ] {
            let (held, end) = held(body);
            assert!(held < 1000, "{held} bytes for {}", body.escape_ascii());
            assert!(matches!(end, Ok(()) | Err(Error::Compression)), "{end:?}");
        }
    }

    #[test]
    fn a_large_string_s_memory_is_given_back() {
        let mut decoder = Decoder::new(false);
        decoder.feed(b"REDIS0010\x00\x01k\x80\x01\x00\x00\x00");
        decoder.feed(&vec![b'x'; 1 << 24]);
        assert!(matches!(decoder.next(), Ok(Some(_))));
        decoder.feed(b"\xff");
        assert!(decoder.buffer.capacity() < 1000);
    }
}
