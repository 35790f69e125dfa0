//! One value for each directive.

use std::ops::Index;

use super::table::{DIRECTIVES, Id};
use super::value::Value;

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
}

impl Index<Id> for Values {
    type Output = Value;
    fn index(&self, id: Id) -> &Value {
        &self.0[id as usize]
    }
}
