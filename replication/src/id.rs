//! Replication ids.

use std::fmt;

/// The name of a history: 40 characters, hexadecimal if it was made here or by Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplId([u8; Self::BYTES]);

impl ReplId {
    /// Its length. (Redis 7.0: `CONFIG_RUN_ID_SIZE`.)
    pub const BYTES: usize = 40;

    /// What INFO shows for an id that there is none of. It names no history.
    pub const NONE: Self = Self([b'0'; Self::BYTES]);

    /// A new id out of random bytes.
    pub fn from_random(random: [u8; Self::BYTES / 2]) -> Self {
        let mut id = [0; Self::BYTES];
        for (pair, byte) in id.chunks_exact_mut(2).zip(random) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        Self(id)
    }

    /// The id that a peer or a file names; `None` if it is not one.
    ///
    /// Redis takes any 40 bytes. Here they have to be letters or digits, since they get into
    /// replies, files and lines of the log.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let id: [u8; Self::BYTES] = text.try_into().ok()?;
        id.iter().all(u8::is_ascii_alphanumeric).then_some(Self(id))
    }

    /// Forty times the same letter, which tests tell apart at a glance.
    #[cfg(test)]
    pub(crate) const fn repeated(letter: u8) -> Self {
        Self([letter; Self::BYTES])
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        // Letters and digits only, by both constructors.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether a peer means this id; case does not count. (Redis 7.0: as in PSYNC.)
    pub fn is_named_by(&self, text: &[u8]) -> bool {
        self.0.eq_ignore_ascii_case(text)
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[nibble as usize]
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_of_random_bytes() {
        let id = ReplId::from_random(std::array::from_fn(|at| at as u8 * 13));
        assert_eq!(id.as_str(), "000d1a2734414e5b6875828f9ca9b6c3d0ddeaf7");
        assert_eq!(ReplId::parse(id.as_bytes()), Some(id));
    }

    #[test]
    fn only_forty_letters_and_digits_are_an_id() {
        assert_eq!(ReplId::parse(b"?"), None);
        assert_eq!(ReplId::parse(&[b'a'; 39]), None);
        assert_eq!(ReplId::parse(&[b'a'; 41]), None);
        assert_eq!(ReplId::parse(&[b'\n'; 40]), None);
        assert_eq!(ReplId::parse(&[b'0'; 40]), Some(ReplId::NONE));
    }

    #[test]
    fn a_peer_may_spell_it_in_capitals() {
        let id = ReplId::from_random([0xab; 20]);
        assert!(id.is_named_by(&b"AB".repeat(20)));
        assert!(!id.is_named_by(&b"AC".repeat(20)));
        assert!(!id.is_named_by(b"AB"));
    }
}
