//! What clients were told about their writes, and whether the data bear it out.
//!
//! Every write appends a number to a key's value, and only one client writes to a key, numbers that
//! rise. So a value is the history of its key: what was lost, done twice or never written shows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

/// What is known of one write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// No answer came: it may have been done, then or later, or not.
    Unknown,
    /// An error came, or it was not even sent: it was not done.
    Refused,
    /// It was acknowledged.
    Acknowledged {
        /// By the node on this port.
        by: u16,
        /// When the acknowledgement was read.
        at: Instant,
        /// WAIT said that every replica has it.
        everywhere: bool,
    },
}

/// A time in which writes that a node acknowledged may be lost by the rules of the protocol: it was
/// deposed, and nobody else had them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The node's port.
    pub(crate) node: u16,
    /// From when.
    pub(crate) from: Instant,
    /// Until when.
    pub(crate) to: Instant,
}

impl Window {
    fn admits(&self, node: u16, at: Instant) -> bool {
        self.node == node && (self.from..=self.to).contains(&at)
    }
}

/// What must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// A value that no sequence of writes makes.
    Torn(String),
    /// This number is there and was refused, or never sent.
    NeverWritten(u32),
    /// This number is there twice.
    Twice(u32),
    /// This number comes after a later one, though both were acknowledged.
    Disordered(u32),
    /// This number was acknowledged and is not there, and no window admits it.
    Lost(u32),
    /// WAIT said that this number is everywhere, and it is not there.
    LostEverywhere(u32),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn(value) => write!(f, "the value is torn: {value:?}"),
            Self::NeverWritten(number) => write!(f, "{number} was never written and is there"),
            Self::Twice(number) => write!(f, "{number} is there twice"),
            Self::Disordered(number) => write!(f, "{number} comes after a later one"),
            Self::Lost(number) => write!(f, "{number} was acknowledged and is lost"),
            Self::LostEverywhere(number) => {
                write!(f, "{number} was acknowledged, by WAIT too, and is lost")
            }
        }
    }
}

/// The writes to one key, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(BTreeMap<u32, Fate>);

impl Log {
    /// The number of the next write, and the text that appends it.
    pub(crate) fn begin(&mut self) -> (u32, String) {
        let number = self.0.last_key_value().map_or(1, |(last, _)| last + 1);
        self.0.insert(number, Fate::Unknown);
        (number, format!("{number};"))
    }

    /// What has become of a write.
    pub(crate) fn settle(&mut self, number: u32, fate: Fate) {
        self.0.insert(number, fate);
    }

    /// How many writes were acknowledged, and how many of these by WAIT too.
    pub(crate) fn acknowledged(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for fate in self.0.values() {
            if let Fate::Acknowledged { everywhere, .. } = fate {
                counts.0 += 1;
                counts.1 += usize::from(*everywhere);
            }
        }
        counts
    }

    /// Checks a value that may be old: all of it must have been written, once and in order.
    pub(crate) fn check_read(&self, value: &str) -> Result<Vec<u32>, Breach> {
        let numbers = parse(value)?;
        let mut seen = std::collections::BTreeSet::new();
        let mut last = 0;
        for &number in &numbers {
            let acknowledged = match self.0.get(&number) {
                None | Some(Fate::Refused) => return Err(Breach::NeverWritten(number)),
                Some(Fate::Unknown) => false,
                Some(Fate::Acknowledged { .. }) => true,
            };
            if !seen.insert(number) {
                return Err(Breach::Twice(number));
            }
            // A write without an answer may be done late.
            if acknowledged && number < last {
                return Err(Breach::Disordered(number));
            }
            if acknowledged {
                last = number;
            }
        }
        Ok(numbers)
    }

    /// Checks the value that the cluster has now; gives the numbers whose loss windows admit.
    pub(crate) fn check_final(&self, value: &str, windows: &[Window]) -> Result<Vec<u32>, Breach> {
        let numbers = self.check_read(value)?;
        let there: std::collections::BTreeSet<_> = numbers.into_iter().collect();
        let mut lost = Vec::new();
        for (&number, fate) in &self.0 {
            let Fate::Acknowledged { by, at, everywhere } = *fate else {
                continue;
            };
            if there.contains(&number) {
                continue;
            }
            if everywhere {
                return Err(Breach::LostEverywhere(number));
            }
            if !windows.iter().any(|window| window.admits(by, at)) {
                return Err(Breach::Lost(number));
            }
            lost.push(number);
        }
        Ok(lost)
    }
}

fn parse(value: &str) -> Result<Vec<u32>, Breach> {
    let torn = || Breach::Torn(value.to_owned());
    let Some(body) = value.strip_suffix(';') else {
        return if value.is_empty() {
            Ok(Vec::new())
        } else {
            Err(torn())
        };
    };
    let words = body.split(';');
    words.map(|word| word.parse().map_err(|_| torn())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NODE: u16 = 1;

    /// Six writes, acknowledged by one node but for 4, which got no answer, and 5, which was
    /// refused; 2 is everywhere.
    fn log(at: Instant) -> Log {
        let mut log = Log::default();
        for expected in 1..=6 {
            let (number, text) = log.begin();
            assert_eq!((number, text), (expected, format!("{expected};")));
            let fate = match number {
                4 => Fate::Unknown,
                5 => Fate::Refused,
                _ => Fate::Acknowledged {
                    by: NODE,
                    at,
                    everywhere: number == 2,
                },
            };
            log.settle(number, fate);
        }
        log
    }

    #[test]
    fn what_must_be_there_is_there() {
        let log = log(Instant::now());
        for value in ["1;2;3;6;", "1;2;3;4;6;", "1;2;3;6;4;", "4;1;2;3;6;"] {
            assert_eq!(log.check_final(value, &[]), Ok(vec![]), "{value}");
        }
    }

    #[test]
    fn a_dropped_write_is_found() {
        let log = log(Instant::now());
        let full = ["1;", "2;", "3;", "6;"];
        for (dropped, lost) in full.iter().zip([1, 2, 3, 6]) {
            let value: String = full
                .iter()
                .filter(|part| *part != dropped)
                .copied()
                .collect();
            let breach = match lost {
                2 => Breach::LostEverywhere(2),
                _ => Breach::Lost(lost),
            };
            assert_eq!(log.check_final(&value, &[]), Err(breach));
        }
        assert_eq!(log.check_final("", &[]), Err(Breach::Lost(1)));
    }

    #[test]
    fn what_must_not_be_there_is_found() {
        let log = log(Instant::now());
        for (value, breach) in [
            ("1;2;3;5;6;", Breach::NeverWritten(5)),
            ("1;2;3;6;7;", Breach::NeverWritten(7)),
            ("1;2;2;3;6;", Breach::Twice(2)),
            ("1;3;2;6;", Breach::Disordered(2)),
            ("1;2;3;6", Breach::Torn("1;2;3;6".to_owned())),
            ("1;2;x;6;", Breach::Torn("1;2;x;6;".to_owned())),
        ] {
            assert_eq!(log.check_read(value), Err(breach.clone()));
            assert_eq!(log.check_final(value, &[]), Err(breach));
        }
        assert_eq!(
            log.check_read("1;"),
            Ok(vec![1]),
            "an old value may be read"
        );
    }

    #[test]
    fn a_window_admits_what_its_node_acknowledged_in_it_but_not_what_is_everywhere() {
        let at = Instant::now();
        let log = log(at);
        let second = Duration::from_secs(1);
        let window = |node, from, to| Window { node, from, to };
        let right = window(NODE, at, at + second);
        assert_eq!(log.check_final("2;6;", &[right]), Ok(vec![1, 3]));
        assert_eq!(
            log.check_final("6;", &[right]).unwrap_err(),
            Breach::LostEverywhere(2)
        );
        for wrong in [
            window(NODE, at + second, at + 2 * second),
            window(9, at, at + second),
        ] {
            assert_eq!(log.check_final("2;6;", &[wrong]), Err(Breach::Lost(1)));
        }
    }
}
