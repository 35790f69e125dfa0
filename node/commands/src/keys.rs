//! Where a command's keys are: key specs, as Redis 7.0 publishes them, and their evaluation.

use bitflags::bitflags;
use hexad_resp::parse_i64;
use smallvec::SmallVec;

use crate::{Args, Command};

bitflags! {
    /// What a command does to a key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// Reads the value or its metadata.
        const RO = 1 << 0;
        /// Reads and changes.
        const RW = 1 << 1;
        /// Overwrites whatever is there.
        const OW = 1 << 2;
        /// Removes the key.
        const RM = 1 << 3;
        /// Returns or copies the value, or acts upon it.
        const ACCESS = 1 << 4;
        /// Changes the value, which may depend on the old one.
        const UPDATE = 1 << 5;
        /// Adds to the value without changing or deleting what is there.
        const INSERT = 1 << 6;
        /// Deletes from the value, or the key.
        const DELETE = 1 << 7;
        /// Not a key, but routed like one.
        const NOT_KEY = 1 << 8;
        /// The spec does not find every key.
        const INCOMPLETE = 1 << 9;
        /// The flags of a call depend on its options.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

const FLAG_NAMES: &[(KeyFlags, &str)] = &[
    (KeyFlags::RO, "RO"),
    (KeyFlags::RW, "RW"),
    (KeyFlags::OW, "OW"),
    (KeyFlags::RM, "RM"),
    (KeyFlags::ACCESS, "access"),
    (KeyFlags::UPDATE, "update"),
    (KeyFlags::INSERT, "insert"),
    (KeyFlags::DELETE, "delete"),
    (KeyFlags::NOT_KEY, "not_key"),
    (KeyFlags::INCOMPLETE, "incomplete"),
    (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
];

impl KeyFlags {
    const fn all_of(flags: &[Self]) -> Self {
        match flags {
            [] => Self::empty(),
            [first, rest @ ..] => first.union(Self::all_of(rest)),
        }
    }

    /// The names of the flags that are set, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        FLAG_NAMES
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|&(_, name)| name)
    }
}

/// A rule that finds keys among the arguments: where they begin, and which ones from there on.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What the command does to these keys.
    pub flags: KeyFlags,
    /// The argument where the search starts.
    pub begin: BeginSearch,
    /// Which arguments are keys.
    pub find: FindKeys,
    /// A remark for readers of COMMAND INFO.
    pub notes: Option<&'static str>,
}

/// The first step: an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    /// Argument number `0`.
    Index(u8),
    /// The argument after the first one that is `keyword` in any case, looking from argument
    /// `start_from` on, or, if that is negative, backwards from that many before the end.
    Keyword {
        /// Upper case.
        keyword: &'static str,
        /// See above.
        start_from: i16,
    },
    /// No rule.
    Unknown,
}

/// The second step: the keys from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// Every `step`-th argument up to a last one.
    Range {
        /// The last one, counted from the first; negative: from the end (-1 is the last argument).
        last_key: i16,
        /// Distance of keys.
        step: u8,
        /// When `last_key` is negative and this is above 1: only so much of what remains (2: half).
        limit: u8,
    },
    /// As many as an argument says.
    KeyNum {
        /// Where that argument is, counted from the first.
        key_num_index: u8,
        /// Where the first key is, counted from the first.
        first_key: u8,
        /// Distance of keys.
        step: u8,
    },
    /// No rule.
    Unknown,
}

impl KeySpec {
    /// One key: argument `index`.
    pub const fn one(flags: &[KeyFlags], index: u8) -> Self {
        Self::range(flags, index, 0, 1)
    }

    /// Every `step`-th argument from `index` to `last_key`, see [`FindKeys::Range`].
    pub const fn range(flags: &[KeyFlags], index: u8, last_key: i16, step: u8) -> Self {
        Self {
            flags: KeyFlags::all_of(flags),
            begin: BeginSearch::Index(index),
            find: FindKeys::Range {
                last_key,
                step,
                limit: 0,
            },
            notes: None,
        }
    }

    /// This spec with a remark.
    pub const fn notes(self, notes: &'static str) -> Self {
        Self {
            notes: Some(notes),
            ..self
        }
    }

    /// The position of the first key, where it is the same in every call; 0 otherwise.
    pub(crate) const fn fixed_first_key(&self) -> u8 {
        match (self.begin, self.find) {
            (BeginSearch::Index(index), FindKeys::Range { .. }) => index,
            _ => 0,
        }
    }

    /// The keys that this spec finds: `Ok(None)` when its keyword is not there.
    fn find(&self, args: &Args<'_>) -> Result<Option<KeySpan>, InvalidKeys> {
        let argc = args.len() as i64;
        let Some(begin) = self.begin.find(args)? else {
            return Ok(None);
        };
        let (first, last, step) = match self.find {
            FindKeys::Range {
                last_key,
                step,
                limit,
            } => {
                let last_key = i64::from(last_key);
                let last = match (last_key >= 0, limit) {
                    (true, _) => begin + last_key,
                    (false, 0 | 1) => argc + last_key,
                    (false, limit) => begin + (argc - begin) / i64::from(limit) + last_key,
                };
                (begin, last, step)
            }
            FindKeys::KeyNum {
                key_num_index,
                first_key,
                step,
            } => {
                let count = usize::try_from(begin + i64::from(key_num_index))
                    .ok()
                    .and_then(|index| parse_i64(args.get(index)?))
                    .filter(|&count| count >= 0)
                    .ok_or(InvalidKeys)?;
                let first = begin + i64::from(first_key);
                let span = (count - 1).saturating_mul(i64::from(step));
                (first, first.saturating_add(span), step)
            }
            FindKeys::Unknown => return Err(InvalidKeys),
        };
        if last < first {
            return Ok(None);
        }
        if last >= argc {
            return Err(InvalidKeys);
        }
        let step = usize::from(step.max(1));
        Ok(Some(KeySpan {
            first: first as usize,
            last: last as usize,
            step,
            flags: self.flags,
        }))
    }
}

impl BeginSearch {
    fn find(self, args: &Args<'_>) -> Result<Option<i64>, InvalidKeys> {
        match self {
            Self::Index(index) => Ok(Some(i64::from(index))),
            Self::Keyword {
                keyword,
                start_from,
            } => {
                let is_keyword = |index: &usize| {
                    args.get(*index)
                        .is_some_and(|arg| arg.eq_ignore_ascii_case(keyword.as_bytes()))
                };
                let found = match usize::try_from(start_from) {
                    Ok(start) => (start..args.len().saturating_sub(1)).find(is_keyword),
                    Err(_) => {
                        let from_end = usize::from(start_from.unsigned_abs());
                        (1..(args.len() + 1).saturating_sub(from_end))
                            .rev()
                            .find(is_keyword)
                    }
                };
                Ok(found.map(|index| index as i64 + 1))
            }
            Self::Unknown => Err(InvalidKeys),
        }
    }
}

/// A call whose arguments do not fit its key specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeys;

/// Every `step`-th argument from `first` to `last`.
#[derive(Clone, Copy, Debug)]
struct KeySpan {
    first: usize,
    last: usize,
    step: usize,
    flags: KeyFlags,
}

/// The keys of one call.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    spans: SmallVec<[KeySpan; 2]>,
}

impl Keys {
    /// The keys in the order of the key specs: argument number and what the call does to it.
    pub fn iter(&self) -> impl Iterator<Item = (usize, KeyFlags)> + '_ {
        self.spans.iter().flat_map(|span| {
            (span.first..=span.last)
                .step_by(span.step)
                .map(|index| (index, span.flags))
        })
    }

    /// The first key's argument number.
    pub fn first(&self) -> Option<usize> {
        self.spans.first().map(|span| span.first)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.spans
            .iter()
            .map(|span| (span.last - span.first) / span.step + 1)
            .sum()
    }

    /// Whether the call has no key.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

impl Command {
    /// The keys of a call. `args` must have passed the arity check; the indexes are within it.
    ///
    /// # Errors
    /// When the arguments contradict the key specs, as a key count that exceeds them.
    pub fn keys(&self, args: &Args<'_>) -> Result<Keys, InvalidKeys> {
        let mut keys = Keys::default();
        for spec in self.key_specs {
            let Some(mut span) = spec.find(args)? else {
                continue;
            };
            if let Some(key_flags) = self.key_flags {
                span.flags = key_flags(args);
            }
            keys.spans.push(span);
        }
        Ok(keys)
    }

    /// Whether every call has exactly one key, argument [`fast_key`](Command::fast_key).
    #[inline]
    pub const fn has_single_key(&self) -> bool {
        matches!(
            self.key_specs,
            [KeySpec {
                begin: BeginSearch::Index(_),
                find: FindKeys::Range { last_key: 0, .. },
                ..
            }]
        )
    }

    /// Whether calls may have keys at all.
    pub const fn has_keys(&self) -> bool {
        !self.key_specs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use hexad_resp::ArgRange;

    use super::*;

    /// The argument numbers that `spec` finds in `call`.
    fn found(spec: KeySpec, call: &str) -> Result<Vec<usize>, InvalidKeys> {
        let mut ranges = Vec::new();
        let mut start = 0;
        for arg in call.split(' ') {
            ranges.push(ArgRange::new(start, start + arg.len()));
            start += arg.len() + 1;
        }
        let span = spec.find(&Args::new(call.as_bytes(), &ranges))?;
        Ok(Keys {
            spans: span.into_iter().collect(),
        }
        .iter()
        .map(|(index, _)| index)
        .collect())
    }

    fn spec(begin: BeginSearch, find: FindKeys) -> KeySpec {
        KeySpec {
            flags: KeyFlags::RO,
            begin,
            find,
            notes: None,
        }
    }

    const ONE: FindKeys = FindKeys::Range {
        last_key: 0,
        step: 1,
        limit: 0,
    };

    #[test]
    fn ranges() {
        let range = |last_key, step, limit| {
            spec(
                BeginSearch::Index(1),
                FindKeys::Range {
                    last_key,
                    step,
                    limit,
                },
            )
        };
        assert_eq!(found(range(0, 1, 0), "get a"), Ok(vec![1]));
        assert_eq!(found(range(1, 1, 0), "lcs a b c"), Ok(vec![1, 2]));
        assert_eq!(found(range(-1, 1, 0), "del a b c"), Ok(vec![1, 2, 3]));
        assert_eq!(found(range(-1, 2, 0), "mset a 1 b 2"), Ok(vec![1, 3]));
        assert_eq!(found(range(-2, 1, 0), "blpop a b 0"), Ok(vec![1, 2]));
        // XREAD's: the first half of what follows STREAMS.
        assert_eq!(found(range(-1, 1, 2), "streams a b 0 0"), Ok(vec![1, 2]));
        assert_eq!(found(range(1, 1, 0), "lcs a"), Err(InvalidKeys));
        assert_eq!(found(range(-2, 1, 0), "blpop 0"), Ok(vec![]));
    }

    #[test]
    fn keywords() {
        let keyword = |start_from| {
            spec(
                BeginSearch::Keyword {
                    keyword: "STORE",
                    start_from,
                },
                ONE,
            )
        };
        assert_eq!(found(keyword(2), "sort a get x Store d"), Ok(vec![5]));
        assert_eq!(found(keyword(2), "sort store x"), Ok(vec![]));
        assert_eq!(found(keyword(-2), "sort a store b store c"), Ok(vec![5]));
        assert_eq!(found(keyword(-3), "sort a store b store c"), Ok(vec![3]));
        assert_eq!(found(keyword(2), "sort a get store"), Ok(vec![]));
        assert_eq!(found(keyword(-9), "sort a store b"), Ok(vec![]));
    }

    #[test]
    fn counted() {
        let counted = spec(
            BeginSearch::Index(2),
            FindKeys::KeyNum {
                key_num_index: 0,
                first_key: 1,
                step: 1,
            },
        );
        assert_eq!(found(counted, "eval s 2 a b arg"), Ok(vec![3, 4]));
        assert_eq!(found(counted, "eval s 0 arg"), Ok(vec![]));
        for invalid in [
            "eval s 3 a b",
            "eval s -1 a",
            "eval s x a",
            "eval s",
            "eval s 9223372036854775807 a",
        ] {
            assert_eq!(found(counted, invalid), Err(InvalidKeys), "{invalid}");
        }
    }
}
