//! What commands add to the replication stream.
//!
//! A command that changes something goes to the replicas as the client gave it, unless that would mean something
//! else there: a duration would start anew, a float be added up by other arithmetic, a condition hold
//! no more. Then its handler says what goes in its place, as Redis 7.0.15 has it. What a command
//! deletes because it is past its time goes before it, as a DEL of its own: replicas expire nothing
//! themselves.
//!
//! Nothing is noted unless [`Env::replicates`](crate::Env::replicates).

use crate::context::Effects;

/// What a command adds to the replication stream, in order. If it is more than one command, they
/// belong between MULTI and EXEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagated<'a> {
    /// The command itself, as the client gave it, in the client's database.
    Verbatim,
    /// A command in its place or before it.
    Command {
        /// The database that it is for.
        db: usize,
        /// The command as the stream has it: a RESP array of bulk strings.
        resp: &'a [u8],
    },
}

impl Effects {
    /// Starts a command: what was noted of the one before is forgotten. To be called for each if
    /// [`Env::replicates`](crate::Env::replicates).
    #[inline]
    pub fn begin_command(&mut self) {
        self.stream.resp.clear();
        self.stream.commands.clear();
        self.stream.own = Own::IfDirty;
        self.stream.dirty_before = self.dirty;
    }

    /// What the command has added to the replication stream since
    /// [`begin_command`](Self::begin_command). To be appended before the lock of its partition
    /// is released.
    pub fn propagated(&self) -> impl ExactSizeIterator<Item = Propagated<'_>> {
        let stream = &self.stream;
        let verbatim = match stream.own {
            Own::IfDirty => self.dirty != stream.dirty_before,
            Own::Verbatim => true,
            Own::Replaced => false,
        };
        let count = stream.commands.len();
        (0..count + usize::from(verbatim)).map(move |index| match stream.commands.get(index) {
            Some(&Noted { db, start, end }) => Propagated::Command {
                db,
                resp: &stream.resp[start..end],
            },
            None => Propagated::Verbatim,
        })
    }
}

/// The notes of one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    resp: Vec<u8>,
    commands: Vec<Noted>,
    own: Own,
    /// [`Effects::dirty`] when the command began.
    dirty_before: u64,
}

/// A command within the notes.
#[derive(Clone, Copy, Debug)]
struct Noted {
    db: usize,
    start: usize,
    end: usize,
}

/// How the command itself goes to the replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Own {
    /// As it is, if it has changed anything.
    #[default]
    IfDirty,
    /// As it is, in any case.
    Verbatim,
    /// Not at all: others were noted in its place.
    Replaced,
}

/// An argument of a command for the stream.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// As it is.
    Bytes(&'a [u8]),
    /// In decimal.
    Number(i64),
}

impl<'a, const N: usize> From<&'a [u8; N]> for Word<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a [u8]> for Word<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Word<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Stream {
    /// Notes a command, which goes before whatever is noted later and before the command itself.
    pub(crate) fn push<'a>(
        &mut self,
        db: usize,
        words: impl IntoIterator<Item = Word<'a>, IntoIter: Clone>,
    ) {
        let words = words.into_iter();
        let start = self.resp.len();
        self.header(b'*', words.clone().count());
        for word in words {
            match word {
                Word::Bytes(bytes) => self.bulk(bytes),
                Word::Number(number) => self.bulk(itoa::Buffer::new().format(number).as_bytes()),
            }
        }
        let end = self.resp.len();
        self.commands.push(Noted { db, start, end });
    }

    /// The command itself does not go to the replicas.
    pub(crate) fn replace(&mut self) {
        self.own = Own::Replaced;
    }

    /// The command itself goes to the replicas, even if it has changed nothing.
    pub(crate) fn force(&mut self) {
        self.own = Own::Verbatim;
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.resp.extend_from_slice(bytes);
        self.resp.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, kind: u8, len: usize) {
        self.resp.push(kind);
        let mut digits = itoa::Buffer::new();
        self.resp.extend_from_slice(digits.format(len).as_bytes());
        self.resp.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(effects: &Effects) -> Vec<String> {
        let show = |propagated: Propagated<'_>| match propagated {
            Propagated::Verbatim => "verbatim".to_owned(),
            Propagated::Command { db, resp } => format!("{db} {}", resp.escape_ascii()),
        };
        effects.propagated().map(show).collect()
    }

    #[test]
    fn a_command_goes_as_it_is_if_it_has_changed_anything() {
        let mut effects = Effects::default();
        effects.begin_command();
        assert!(shown(&effects).is_empty());
        effects.dirty += 2;
        assert_eq!(shown(&effects), ["verbatim"]);
        effects.begin_command();
        assert!(shown(&effects).is_empty());
        effects.stream.force();
        assert_eq!(shown(&effects), ["verbatim"]);
    }

    #[test]
    fn notes_come_before_it_or_in_its_place() {
        let mut effects = Effects::default();
        effects.begin_command();
        effects.dirty += 1;
        let del = |key: &'static [u8]| [Word::from(b"DEL"), Word::from(key)];
        effects.stream.push(3, del(b"a\r\n"));
        let noted = "3 *2\\r\\n$3\\r\\nDEL\\r\\n$3\\r\\na\\r\\n\\r\\n";
        assert_eq!(shown(&effects), [noted, "verbatim"]);
        effects.stream.replace();
        effects.stream.push(
            0,
            [
                Word::from(b"INCRBY"),
                Word::from(b"".as_slice()),
                Word::from(-12),
            ],
        );
        let replaced = "0 *3\\r\\n$6\\r\\nINCRBY\\r\\n$0\\r\\n\\r\\n$3\\r\\n-12\\r\\n";
        assert_eq!(shown(&effects), [noted, replaced]);
        effects.begin_command();
        assert!(shown(&effects).is_empty());
    }
}
