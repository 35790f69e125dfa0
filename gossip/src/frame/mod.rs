//! Frames of the cluster bus.
//!
//! A frame is a header of [`HEADER_LEN`] bytes and a body that depends on its type; all integers
//! are big-endian. [`frame_length`] cuts a stream into frames, [`Frame::decode`] and
//! [`Frame::encode`] turn them into values and back. Nothing is allocated by a length from the
//! wire before it is checked against what the type may have.

mod body;
mod ext;
mod header;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

pub use body::{Body, GossipEntry};
pub use ext::Extensions;
pub use header::{HEADER_LEN, Header, MessageFlags};

/// The version of the protocol, the only one there is.
pub const PROTOCOL_VERSION: u16 = 1;

/// A frame of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What every frame carries.
    pub header: Header,
    /// What this type of frame carries.
    pub body: Body,
}

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum FrameType {
    /// A heartbeat; asks for a [`FrameType::Pong`].
    Ping = 0,
    /// The answer to a ping or meet, or news that nobody asked for.
    Pong = 1,
    /// A ping that asks to be let into the cluster.
    Meet = 2,
    /// The verdict that a node has failed.
    Fail = 3,
    /// A message for subscribers anywhere.
    Publish = 4,
    /// A replica asks for a vote.
    FailoverAuthRequest = 5,
    /// The vote.
    FailoverAuthAck = 6,
    /// Tells a node that its idea of a primary's slots is old.
    Update = 7,
    /// A replica asks its primary to pause for a manual failover.
    ManualFailoverStart = 8,
    /// A message between modules.
    Module = 9,
    /// A message for subscribers in one shard.
    PublishShard = 10,
}

impl FrameType {
    /// How many types there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All types, by their number.
    pub const ALL: [Self; 11] = [
        Self::Ping,
        Self::Pong,
        Self::Meet,
        Self::Fail,
        Self::Publish,
        Self::FailoverAuthRequest,
        Self::FailoverAuthAck,
        Self::Update,
        Self::ManualFailoverStart,
        Self::Module,
        Self::PublishShard,
    ];

    /// The type of this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The type's number, as an index.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The name that CLUSTER INFO counts the type under.
impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Meet => "meet",
            Self::Fail => "fail",
            Self::Publish => "publish",
            Self::FailoverAuthRequest => "auth-req",
            Self::FailoverAuthAck => "auth-ack",
            Self::Update => "update",
            Self::ManualFailoverStart => "mfstart",
            Self::Module => "module",
            Self::PublishShard => "publishshard",
        })
    }
}

/// Why some bytes are no frame. The link that they came over is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The stream does not start with the four bytes `RCmb`.
    #[error("bad signature {0:02x?}")]
    Signature([u8; 4]),
    /// Another version than [`PROTOCOL_VERSION`].
    #[error("protocol version {0} is not 1")]
    Version(u16),
    /// The length is below [`HEADER_LEN`].
    #[error("length {0} is below the {HEADER_LEN} bytes of a header")]
    TooShort(u32),
    /// The length is above what a frame of this type may have.
    #[error("length {length} of a frame of type {kind} is above the limit {limit}")]
    TooLong {
        /// The length that was given.
        length: u32,
        /// The type's number.
        kind: u16,
        /// The most that a frame of this type may have.
        limit: u64,
    },
    /// The length is not what the body adds up to.
    #[error("length {length} of a frame of type {kind}, but its parts add up to {expected}")]
    LengthMismatch {
        /// The length that was given.
        length: usize,
        /// The type's number.
        kind: u16,
        /// What the parts add up to, as far as they could be read.
        expected: u64,
    },
    /// The bytes that were passed in are not as many as the frame's own length says.
    #[error("{given} bytes for a frame of length {length}")]
    Incomplete {
        /// How many bytes were given.
        given: usize,
        /// The frame's length.
        length: usize,
    },
    /// A node id holds other characters than 0-9 and a-z.
    #[error("bad node id in {0}")]
    NodeId(&'static str),
    /// An address is neither IPv4 nor IPv6, or not ended by a zero byte.
    #[error("bad address in {0}")]
    Address(&'static str),
    /// An extension has an impossible length or content.
    #[error("bad extension of type {0}")]
    Extension(u16),
}

/// How many bytes the frame at the start of `bytes` has, or `None` if too few of them are there
/// to tell.
///
/// The limits per type are checked here, so that a caller may reserve what it is told.
///
/// # Errors
/// As soon as the bytes cannot become a frame that [`Frame::decode`] takes.
pub fn frame_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    header::frame_length(bytes)
}

/// The number of the type that the frame at the start of `bytes` says, if they reach that far.
pub fn frame_type_number(bytes: &[u8]) -> Option<u16> {
    let number = bytes.get(header::TYPE_AT)?;
    Some(u16::from_be_bytes([number[0], number[1]]))
}

impl Frame {
    /// Reads one whole frame, as cut by [`frame_length`]. A type that is not known is `None`: it
    /// is to be ignored.
    ///
    /// # Errors
    /// If the frame is malformed in any way; nothing of it should be used then.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((header, count)) = Header::decode(bytes)? else {
            return Ok(None);
        };
        let body = Body::decode(&header, count, &bytes[HEADER_LEN..])?;
        Ok(Some(Self { header, body }))
    }

    /// The bytes of this frame.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_LEN + self.body.encoded_len());
        self.header.encode(self.body.counts(), &mut out);
        self.body.encode(&mut out);
        let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out[header::LENGTH_AT].copy_from_slice(&length.to_be_bytes());
        Bytes::from(out)
    }

    /// The type of this frame.
    pub fn kind(&self) -> FrameType {
        self.header.kind
    }
}
