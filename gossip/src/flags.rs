//! What is said of a node in one word of bits.

use bitflags::bitflags;

bitflags! {
    /// Flags of a node, in the bits of the bus.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct NodeFlags: u16 {
        /// A primary.
        const PRIMARY = 1;
        /// A replica.
        const REPLICA = 2;
        /// This view's own suspicion: no answer within the node timeout.
        const PFAIL = 4;
        /// A majority's verdict.
        const FAIL = 8;
        /// The node that this view belongs to.
        const MYSELF = 16;
        /// Its id is not known yet, only an address.
        const HANDSHAKE = 32;
        /// Its address is not known.
        const NOADDR = 64;
        /// The first frame to it has to be a MEET.
        const MEET = 128;
        /// A primary that replicas may migrate to.
        const MIGRATE_TO = 256;
        /// A replica that does not stand for election.
        const NOFAILOVER = 512;
    }
}

/// The words of nodes.conf and CLUSTER NODES, in the order in which they are written. Flags that
/// are missing here (MEET, MIGRATE_TO) are not written.
const WORDS: [(NodeFlags, &str); 8] = [
    (NodeFlags::MYSELF, "myself"),
    (NodeFlags::PRIMARY, "master"),
    (NodeFlags::REPLICA, "slave"),
    (NodeFlags::PFAIL, "fail?"),
    (NodeFlags::FAIL, "fail"),
    (NodeFlags::HANDSHAKE, "handshake"),
    (NodeFlags::NOADDR, "noaddr"),
    (NodeFlags::NOFAILOVER, "nofailover"),
];

impl NodeFlags {
    /// The flags that say what a node does: [`NodeFlags::PRIMARY`] or [`NodeFlags::REPLICA`].
    pub const ROLE: Self = Self::PRIMARY.union(Self::REPLICA);
    /// Both kinds of failure.
    pub const FAILING: Self = Self::PFAIL.union(Self::FAIL);

    /// The comma-separated words of nodes.conf and CLUSTER NODES, or `noflags`.
    pub fn to_words(self) -> String {
        let words: Vec<&str> = WORDS
            .iter()
            .filter(|(flag, _)| self.contains(*flag))
            .map(|(_, word)| *word)
            .collect();
        if words.is_empty() {
            "noflags".to_owned()
        } else {
            words.join(",")
        }
    }

    /// The inverse of [`NodeFlags::to_words`]; the first unknown word is the error.
    pub fn from_words(text: &str) -> Result<Self, &str> {
        let mut flags = Self::empty();
        for word in text.split(',').filter(|&word| word != "noflags") {
            let known = WORDS.iter().find(|(_, name)| *name == word);
            flags |= known.map(|(flag, _)| *flag).ok_or(word)?;
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for (flags, words) in [
            (NodeFlags::empty(), "noflags"),
            (NodeFlags::MYSELF | NodeFlags::PRIMARY, "myself,master"),
            (
                NodeFlags::REPLICA | NodeFlags::PFAIL | NodeFlags::NOFAILOVER,
                "slave,fail?,nofailover",
            ),
            (
                NodeFlags::PRIMARY | NodeFlags::FAIL | NodeFlags::NOADDR,
                "master,fail,noaddr",
            ),
        ] {
            assert_eq!(flags.to_words(), words);
            assert_eq!(NodeFlags::from_words(words), Ok(flags));
        }
        assert_eq!(NodeFlags::from_words("master,happy"), Err("happy"));
    }

    #[test]
    fn flags_that_have_no_word_are_not_written() {
        assert_eq!(
            (NodeFlags::PRIMARY | NodeFlags::MIGRATE_TO).to_words(),
            "master"
        );
    }
}
