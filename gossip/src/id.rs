//! The name of a node.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

/// A node's id: 40 characters of `0-9a-z`, drawn at random as hexadecimal digits by the node
/// itself, and the same for life but for CLUSTER RESET HARD.
///
/// Ids order as their text does; the smaller of two decides a configEpoch collision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; Self::LEN]);

impl NodeId {
    /// The length of an id in bytes.
    pub const LEN: usize = 40;

    /// Draws a new id: 160 random bits.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self(std::array::from_fn(|_| {
            b"0123456789abcdef"[rng.random_range(0..16)]
        }))
    }

    /// The id of these bytes, as they stand in a frame.
    ///
    /// # Errors
    /// If a byte is neither a digit nor a lower-case letter. (Redis 7.0 admits the same when it
    /// loads nodes.conf, and anything from the wire.)
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Result<Self, ParseNodeIdError> {
        let valid = bytes
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
        if valid {
            Ok(Self(bytes))
        } else {
            Err(ParseNodeIdError)
        }
    }

    /// The id as it stands in a frame.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Every constructor admits ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;

    fn from_str(text: &str) -> Result<Self, ParseNodeIdError> {
        Self::from_bytes(text.as_bytes().try_into().map_err(|_| ParseNodeIdError)?)
    }
}

/// A text or some bytes are no [`NodeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node id is 40 characters of 0-9 and a-z")]
pub struct ParseNodeIdError;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_random_id_is_read_back_from_its_text() {
        let mut rng = StdRng::seed_from_u64(1);
        let id = NodeId::random(&mut rng);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(NodeId::random(&mut rng), id);
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "abc",
            &"a".repeat(39),
            &"a".repeat(41),
            &"A".repeat(40),
            &"é".repeat(20),
        ] {
            assert_eq!(text.parse::<NodeId>(), Err(ParseNodeIdError), "{text}");
        }
    }
}
