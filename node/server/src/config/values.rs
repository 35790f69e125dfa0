//! One value for each directive.

use std::borrow::Cow;
use std::ops::Index;

use super::kind::Reason;
use super::table::{DIRECTIVES, Id};
use super::value::Value;

/// Redis 7.0 holds `hz` between these, whatever it is set to.
const HZ_RANGE: std::ops::RangeInclusive<i128> = 1..=500;
/// Redis 7.0 makes the replication backlog no smaller than this.
const MIN_BACKLOG_BYTES: i128 = 16 << 10;

/// One value for each directive.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Values(Box<[Value]>);

impl Values {
    /// Every directive at its default.
    pub(super) fn defaults() -> Values {
        Values(DIRECTIVES.iter().map(|d| d.id.default_value()).collect())
    }

    /// Replaces a value.
    pub(super) fn put(&mut self, id: Id, value: Value) {
        self.0[id as usize] = value;
    }

    /// Sets a directive to what `words` say.
    pub(super) fn assign(&mut self, id: Id, words: &[&[u8]]) -> Result<(), Reason> {
        let directive = id.directive();
        let value = directive.kind.parse(directive.name, words, &self[id])?;
        refuse_unavailable(id, &value)?;
        self.put(id, normalise(id, value));
        Ok(())
    }
}

impl Index<Id> for Values {
    type Output = Value;
    fn index(&self, id: Id) -> &Value {
        &self.0[id as usize]
    }
}

/// What stock's server would refuse because its build lacks it, and what is dangerous to accept without effect.
fn refuse_unavailable(id: Id, value: &Value) -> Result<(), Reason> {
    match (id, value) {
        // A server built against the system's jemalloc, as Debian's is, says this.
        (Id::Activedefrag, Value::Bool(true)) => Err(Cow::Borrowed(
            "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc \
             like the one shipped by default with the Redis source distribution",
        )),
        // Whoever asks for encryption must not be given a server that talks in the clear.
        (Id::TlsPort, Value::Int(1..))
        | (Id::TlsCluster | Id::TlsReplication, Value::Bool(true)) => {
            Err(Cow::Borrowed("TLS is not supported yet"))
        }
        _ => Ok(()),
    }
}

/// The value that stock makes of one that it accepts.
fn normalise(id: Id, value: Value) -> Value {
    match (id, value) {
        (Id::Hz, Value::Int(hz)) => Value::Int(hz.clamp(*HZ_RANGE.start(), *HZ_RANGE.end())),
        (Id::ReplBacklogSize, Value::Int(bytes)) => Value::Int(bytes.max(MIN_BACKLOG_BYTES)),
        (Id::OomScoreAdj, Value::Enum("relative")) => Value::Enum("yes"),
        (_, value) => value,
    }
}
