//! What the simulator reads from frames, by its own offsets and not by the machine's decoder, so
//! that a mistake there cannot hide itself.

use hexad_gossip::NodeId;

/// Frame types, as on the wire.
pub(crate) mod kind {
    /// PING
    pub(crate) const PING: u16 = 0;
    /// PONG
    pub(crate) const PONG: u16 = 1;
    /// MEET
    pub(crate) const MEET: u16 = 2;
    /// FAIL
    pub(crate) const FAIL: u16 = 3;
    /// FAILOVER_AUTH_REQUEST
    pub(crate) const AUTH_REQUEST: u16 = 5;
    /// FAILOVER_AUTH_ACK
    pub(crate) const AUTH_ACK: u16 = 6;
    /// UPDATE
    pub(crate) const UPDATE: u16 = 7;
    /// MFSTART
    pub(crate) const MF_START: u16 = 8;
}

/// Node flags, as on the wire.
pub(crate) mod flag {
    /// A primary.
    pub(crate) const MASTER: u16 = 1;
    /// The sender of the gossip gets no answer from it.
    pub(crate) const PFAIL: u16 = 4;
    /// A majority gets no answer from it.
    pub(crate) const FAIL: u16 = 8;
}

/// The header of every frame.
pub(crate) const HEADER_BYTES: usize = 2256;
/// One gossip entry.
pub(crate) const GOSSIP_BYTES: usize = 104;
const ID_BYTES: usize = 40;
const BITMAP_BYTES: usize = 2048;

/// A frame seen by its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a>(&'a [u8]);

impl<'a> Frame<'a> {
    /// `None` when the bytes cannot be a frame.
    #[must_use]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let frame = Frame(bytes);
        let is_whole = bytes.len() >= HEADER_BYTES
            && bytes.starts_with(b"RCmb")
            && frame.u32(4) as usize == bytes.len();
        is_whole.then_some(frame)
    }

    /// The type: see [`kind`].
    #[must_use]
    pub(crate) fn kind(self) -> u16 {
        self.u16(12)
    }

    /// The sender's currentEpoch.
    #[must_use]
    pub(crate) fn current_epoch(self) -> u64 {
        self.u64(16)
    }

    /// The configEpoch of the sender, or of its primary.
    #[must_use]
    pub(crate) fn config_epoch(self) -> u64 {
        self.u64(24)
    }

    /// The sender's replication offset.
    #[must_use]
    pub(crate) fn repl_offset(self) -> u64 {
        self.u64(32)
    }

    /// Whether a vote is asked for though the primary may be up.
    #[must_use]
    pub(crate) fn is_forced(self) -> bool {
        self.0[2253] & 2 != 0
    }

    /// The sender; `None` when that is no id.
    #[must_use]
    pub(crate) fn sender(self) -> Option<NodeId> {
        self.id(40)
    }

    /// The primary that the sender replicates.
    #[must_use]
    pub(crate) fn primary(self) -> Option<NodeId> {
        self.id(2128)
    }

    /// The slots that the sender (or its primary) claims.
    #[must_use]
    pub(crate) fn slots(self) -> &'a [u8] {
        &self.0[80..80 + BITMAP_BYTES]
    }

    /// The sender's flags.
    #[must_use]
    pub(crate) fn flags(self) -> u16 {
        self.u16(2250)
    }

    /// The node that a FAIL frame is about.
    #[must_use]
    pub(crate) fn failed_node(self) -> Option<NodeId> {
        let is_fail = self.kind() == kind::FAIL && self.0.len() >= HEADER_BYTES + ID_BYTES;
        if is_fail { self.id(HEADER_BYTES) } else { None }
    }

    /// The node, configEpoch and slots that an UPDATE frame is about.
    #[must_use]
    pub(crate) fn update(self) -> Option<(NodeId, u64, &'a [u8])> {
        let slots = HEADER_BYTES + 8 + ID_BYTES;
        let is_update = self.kind() == kind::UPDATE && self.0.len() >= slots + BITMAP_BYTES;
        if !is_update {
            return None;
        }
        let bitmap = &self.0[slots..slots + BITMAP_BYTES];
        Some((self.id(HEADER_BYTES + 8)?, self.u64(HEADER_BYTES), bitmap))
    }

    /// The gossip entries of a PING, PONG or MEET: node and flags.
    pub(crate) fn gossip(self) -> impl Iterator<Item = (NodeId, u16)> + 'a {
        let count = if self.kind() <= kind::MEET {
            usize::from(self.u16(14))
        } else {
            0
        };
        (0..count)
            .map(move |i| HEADER_BYTES + i * GOSSIP_BYTES)
            .take_while(move |at| at + GOSSIP_BYTES <= self.0.len())
            .filter_map(move |at| Some((self.id(at)?, self.u16(at + 98))))
    }

    fn id(self, at: usize) -> Option<NodeId> {
        NodeId::from_bytes(self.0[at..at + ID_BYTES].try_into().ok()?).ok()
    }

    fn u16(self, at: usize) -> u16 {
        u16::from_be_bytes(self.0[at..at + 2].try_into().expect("2 bytes"))
    }

    fn u32(self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[at..at + 4].try_into().expect("4 bytes"))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_be_bytes(self.0[at..at + 8].try_into().expect("8 bytes"))
    }
}
