//! Runs of slots and their text.

use std::fmt;
use std::str::FromStr;

use crate::{SLOT_COUNT, Slot, SlotBitmap};

/// A run of slots, both ends within it; `start` is never above `end`.
///
/// Its text is `5` for one slot and `0-5460` for more, as in nodes.conf and CLUSTER NODES.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotRange {
    start: Slot,
    end: Slot,
}

impl SlotRange {
    /// The run from `start` to `end`; `None` if `end` comes first.
    pub fn new(start: Slot, end: Slot) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The first slot.
    pub const fn start(self) -> Slot {
        self.start
    }

    /// The last slot.
    pub const fn end(self) -> Slot {
        self.end
    }

    /// The slots of the run in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Slot> {
        (self.start.get()..=self.end.get()).filter_map(Slot::new)
    }
}

impl From<Slot> for SlotRange {
    fn from(slot: Slot) -> Self {
        Self {
            start: slot,
            end: slot,
        }
    }
}

impl fmt::Display for SlotRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "{}", self.start)
        } else {
            write!(f, "{}-{}", self.start, self.end)
        }
    }
}

impl FromStr for SlotRange {
    type Err = SlotRangeError;

    fn from_str(text: &str) -> Result<Self, SlotRangeError> {
        let (start, end) = match text.split_once('-') {
            Some((start, end)) => (parse_slot(start)?, parse_slot(end)?),
            None => {
                let slot = parse_slot(text)?;
                (slot, slot)
            }
        };
        Self::new(start, end).ok_or(SlotRangeError::Reversed { start, end })
    }
}

/// Why a text is no [`SlotRange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotRangeError {
    /// This part is not a number of decimal digits.
    NotANumber(String),
    /// This number is not below [`SLOT_COUNT`].
    OutOfRange(String),
    /// The run ends before it starts.
    Reversed {
        /// The first slot named.
        start: Slot,
        /// The second one, which is smaller.
        end: Slot,
    },
}

impl fmt::Display for SlotRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber(text) => write!(f, "'{text}' is not a slot number"),
            Self::OutOfRange(text) => write!(f, "slot {text} is not below {SLOT_COUNT}"),
            Self::Reversed { start, end } => write!(f, "slot range {start}-{end} is reversed"),
        }
    }
}

impl std::error::Error for SlotRangeError {}

fn parse_slot(text: &str) -> Result<Slot, SlotRangeError> {
    // `u16::from_str` would also take a sign.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SlotRangeError::NotANumber(text.to_owned()));
    }
    let number = text.parse::<u16>().ok().and_then(Slot::new);
    number.ok_or_else(|| SlotRangeError::OutOfRange(text.to_owned()))
}

/// The maximal runs of a [`SlotBitmap`], in ascending order.
#[derive(Clone, Debug)]
pub struct SlotRanges<'a> {
    slots: std::iter::Peekable<crate::SlotIter<'a>>,
}

impl<'a> SlotRanges<'a> {
    pub(crate) fn new(bitmap: &'a SlotBitmap) -> Self {
        Self {
            slots: bitmap.iter().peekable(),
        }
    }
}

impl Iterator for SlotRanges<'_> {
    type Item = SlotRange;

    fn next(&mut self) -> Option<SlotRange> {
        let start = self.slots.next()?;
        let mut end = start;
        while let Some(next) = self.slots.next_if(|next| next.get() == end.get() + 1) {
            end = next;
        }
        Some(SlotRange { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn text_of_a_bitmap() {
        let text = |slots: &[u16]| {
            let set: SlotBitmap = slots.iter().map(|&number| slot(number)).collect();
            set.ranges()
                .map(|range| range.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[5]), "5");
        assert_eq!(text(&[0, 1, 2, 7, 9, 10, 16383]), "0-2 7 9-10 16383");
        assert_eq!(
            text(&[63, 64, 65]),
            "63-65",
            "a run goes on over a word's end"
        );
        assert_eq!(
            SlotBitmap::full()
                .ranges()
                .map(|r| r.to_string())
                .collect::<String>(),
            "0-16383"
        );
    }

    #[test]
    fn text_is_read_back() {
        for text in ["0", "5", "16383", "0-5460", "0-16383", "9-10"] {
            assert_eq!(text.parse::<SlotRange>().unwrap().to_string(), text);
        }
        assert_eq!(
            "7-7".parse::<SlotRange>().unwrap(),
            SlotRange::from(slot(7))
        );
    }

    #[test]
    fn what_is_no_range_says_why() {
        for (text, why) in [
            ("", "'' is not a slot number"),
            ("-", "'' is not a slot number"),
            ("1-", "'' is not a slot number"),
            ("+1", "'+1' is not a slot number"),
            ("1-2-3", "'2-3' is not a slot number"),
            ("a", "'a' is not a slot number"),
            ("16384", "slot 16384 is not below 16384"),
            ("0-99999999999", "slot 99999999999 is not below 16384"),
            ("2-1", "slot range 2-1 is reversed"),
        ] {
            assert_eq!(
                text.parse::<SlotRange>().unwrap_err().to_string(),
                why,
                "{text}"
            );
        }
    }

    #[test]
    fn a_run_counts_both_of_its_ends() {
        let range = SlotRange::new(slot(16381), slot(16383)).unwrap();
        assert_eq!(
            range.iter().map(Slot::get).collect::<Vec<_>>(),
            [16381, 16382, 16383]
        );
        assert_eq!(SlotRange::new(slot(2), slot(1)), None);
    }
}
