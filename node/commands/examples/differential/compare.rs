//! When two replies count as the same.

/// How a command's reply is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Every byte.
    Exact,
    /// An array in any order.
    Unordered,
    /// A number that the clock moves while a command travels; negative ones exactly.
    Time,
    /// Null or error exactly; of a value only its type.
    Kind,
}

/// How far two clock readings may be apart, in milliseconds; seconds are below that anyway.
const CLOCK_TOLERANCE: i64 = 2000;

impl Check {
    /// The check for a command.
    pub(crate) fn of(call: &[Vec<u8>]) -> Self {
        let word = |at: usize| {
            call.get(at)
                .map(|word| word.to_ascii_lowercase())
                .unwrap_or_default()
        };
        match word(0).as_slice() {
            b"keys" => Self::Unordered,
            b"ttl" | b"pttl" | b"expiretime" | b"pexpiretime" => Self::Time,
            b"memory" => Self::Kind,
            b"object" if word(1) == b"idletime" => Self::Kind,
            _ => Self::Exact,
        }
    }
}

/// Whether two replies are the same under `check`.
pub(crate) fn same(check: Check, expected: &[u8], actual: &[u8]) -> bool {
    if expected == actual {
        return true;
    }
    match check {
        Check::Exact => false,
        Check::Unordered => {
            let sorted = |reply| {
                let mut keys = Reader::new(reply).bulks();
                keys.sort();
                keys
            };
            expected.first() == Some(&b'*')
                && actual.first() == Some(&b'*')
                && sorted(expected) == sorted(actual)
        }
        Check::Time => match (
            Reader::new(expected).integer(),
            Reader::new(actual).integer(),
        ) {
            (Some(a @ 0..), Some(b @ 0..)) => a.abs_diff(b) < CLOCK_TOLERANCE as u64,
            _ => false,
        },
        Check::Kind => expected.first() == Some(&b':') && actual.first() == Some(&b':'),
    }
}

/// Reads the parts of a reply that a check looks at.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(reply: &'a [u8]) -> Self {
        Self { rest: reply }
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        line.strip_suffix(b"\r\n")
    }

    fn number(&mut self, kind: u8) -> Option<i64> {
        let line = self.line()?.strip_prefix(&[kind])?;
        std::str::from_utf8(line).ok()?.parse().ok()
    }

    pub(crate) fn integer(&mut self) -> Option<i64> {
        self.number(b':')
    }

    /// The next bulk string; `None` for null and all else.
    pub(crate) fn bulk(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number(b'$')?).ok()?;
        let (bulk, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.strip_prefix(b"\r\n")?;
        Some(bulk)
    }

    /// The elements of an array of bulk strings.
    pub(crate) fn bulks(&mut self) -> Vec<&'a [u8]> {
        let len = self.number(b'*').unwrap_or(0);
        (0..len).map_while(|_| self.bulk()).collect()
    }

    /// Adds the keys of a SCAN reply to `keys`; returns the next cursor, 0 after an error.
    pub(crate) fn scan_page(&mut self, keys: &mut Vec<Vec<u8>>) -> Vec<u8> {
        if self.number(b'*') != Some(2) {
            return b"0".to_vec();
        }
        let cursor = self.bulk().unwrap_or(b"0").to_vec();
        keys.extend(self.bulks().into_iter().map(<[u8]>::to_vec));
        cursor
    }
}
