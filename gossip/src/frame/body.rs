//! What follows the header of a frame.

use std::net::IpAddr;

use bytes::Bytes;
use hexad_slots::{SLOT_BYTES, SlotBitmap};

use super::header::{Counts, IP_LEN, ip_from_field, ip_to_field};
use super::{Extensions, FrameError, FrameType, HEADER_LEN, Header};
use crate::{NodeFlags, NodeId};

/// The part of a frame that depends on its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// PING, PONG and MEET: news of other nodes.
    Gossip {
        /// Some nodes that the sender knows.
        entries: Vec<GossipEntry>,
        /// More about the sender.
        extensions: Extensions,
    },
    /// FAIL: this node has failed.
    Fail(NodeId),
    /// PUBLISH and PUBLISHSHARD.
    Publish {
        /// The channel.
        channel: Bytes,
        /// The message.
        message: Bytes,
    },
    /// UPDATE: a primary's slots.
    Update {
        /// That primary's configEpoch.
        config_epoch: u64,
        /// The primary.
        node: NodeId,
        /// All of its slots.
        slots: Box<SlotBitmap>,
    },
    /// FAILOVER_AUTH_REQUEST, FAILOVER_AUTH_ACK and MFSTART: all is said in the header.
    Empty,
    /// MODULE: there are no modules to read it.
    Module(Bytes),
}

/// What a heartbeat tells of a node that is neither its sender nor its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipEntry {
    /// The node.
    pub id: NodeId,
    /// When the sender pinged it without an answer yet, in seconds of Unix time; 0 if it did not.
    pub ping_sent_s: u32,
    /// When the sender knew it alive, in seconds of Unix time.
    pub pong_received_s: u32,
    /// Its address, if the sender has one that can be read.
    pub ip: Option<IpAddr>,
    /// Its client port, of the kind that its bus uses.
    pub port: u16,
    /// Its bus port.
    pub bus_port: u16,
    /// What the sender thinks of it.
    pub flags: NodeFlags,
    /// Its plain client port if its bus uses TLS, else 0.
    pub plain_port: u16,
}

impl Body {
    /// The size of the body of an UPDATE.
    pub(super) const UPDATE_LEN: usize = 8 + NodeId::LEN + SLOT_BYTES;

    /// Reads what follows the header. `body` is all of it.
    pub(super) fn decode(header: &Header, counts: Counts, body: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader {
            kind: header.kind,
            length: body.len(),
            rest: body,
        };
        let decoded = match header.kind {
            FrameType::Ping | FrameType::Pong | FrameType::Meet => {
                Self::decode_gossip(&mut reader, counts)?
            }
            FrameType::Fail => Self::Fail(reader.node_id("a FAIL")?),
            FrameType::Publish | FrameType::PublishShard => {
                let (channel, message) = (reader.u32()?, reader.u32()?);
                let (channel, message) = (
                    reader.take(channel as usize)?,
                    reader.take(message as usize)?,
                );
                Self::Publish {
                    channel: Bytes::copy_from_slice(channel),
                    message: Bytes::copy_from_slice(message),
                }
            }
            FrameType::Update => Self::Update {
                config_epoch: u64::from_be_bytes(reader.array()?),
                node: reader.node_id("an UPDATE")?,
                slots: Box::new(SlotBitmap::from_bytes(reader.array()?)),
            },
            FrameType::FailoverAuthRequest
            | FrameType::FailoverAuthAck
            | FrameType::ManualFailoverStart => Self::Empty,
            FrameType::Module => Self::Module(Bytes::copy_from_slice(reader.take_all())),
        };
        reader.finish()?;
        Ok(decoded)
    }

    fn decode_gossip(reader: &mut Reader<'_>, counts: Counts) -> Result<Self, FrameError> {
        // Checked before the entries are allocated for.
        let mut packed = reader.sub(usize::from(counts.gossip) * GossipEntry::LEN)?;
        let mut entries = Vec::with_capacity(counts.gossip.into());
        for _ in 0..counts.gossip {
            entries.push(GossipEntry::decode(&mut packed)?);
        }
        let extensions = Extensions::decode(reader, counts.extensions)?;
        Ok(Self::Gossip {
            entries,
            extensions,
        })
    }

    /// The size of this body in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Gossip {
                entries,
                extensions,
            } => entries.len() * GossipEntry::LEN + extensions.encoded_len(),
            Self::Fail(_) => NodeId::LEN,
            Self::Publish { channel, message } => 8 + channel.len() + message.len(),
            Self::Update { .. } => Self::UPDATE_LEN,
            Self::Empty => 0,
            Self::Module(bytes) => bytes.len(),
        }
    }

    /// What the header has to say of this body.
    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Gossip {
                entries,
                extensions,
            } => Counts {
                // A sender has at most a tenth of the nodes in it, and those that are failing.
                gossip: u16::try_from(entries.len()).unwrap_or(u16::MAX),
                extensions: extensions.count(),
            },
            _ => Counts::default(),
        }
    }

    /// Appends the bytes of this body.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Gossip {
                entries,
                extensions,
            } => {
                entries
                    .iter()
                    .take(u16::MAX.into())
                    .for_each(|entry| entry.encode(out));
                extensions.encode(out);
            }
            Self::Fail(id) => out.extend(id.as_bytes()),
            Self::Publish { channel, message } => {
                out.extend((channel.len() as u32).to_be_bytes());
                out.extend((message.len() as u32).to_be_bytes());
                out.extend(channel);
                out.extend(message);
            }
            Self::Update {
                config_epoch,
                node,
                slots,
            } => {
                out.extend(config_epoch.to_be_bytes());
                out.extend(node.as_bytes());
                out.extend(slots.as_bytes());
            }
            Self::Empty => {}
            Self::Module(bytes) => out.extend(bytes),
        }
    }
}

impl GossipEntry {
    /// The size of an entry in bytes.
    pub const LEN: usize = NodeId::LEN + 4 + 4 + IP_LEN + 5 * 2;

    fn decode(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        let id = reader.node_id("a gossip entry")?;
        let (ping_sent_s, pong_received_s) = (reader.u32()?, reader.u32()?);
        let ip: [u8; IP_LEN] = reader.array()?;
        let [port, bus_port, flags, plain_port, _unused] = {
            let mut words = [0; 5];
            for word in &mut words {
                *word = reader.u16()?;
            }
            words
        };
        Ok(Self {
            id,
            ping_sent_s,
            pong_received_s,
            // Peers relay what others announce, and Redis lets one announce a name here. That is
            // no reason to distrust the whole frame: the entry is one of a node without address.
            ip: ip_from_field(&ip).unwrap_or(None),
            port,
            bus_port,
            flags: NodeFlags::from_bits_truncate(flags),
            plain_port,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.id.as_bytes());
        out.extend(self.ping_sent_s.to_be_bytes());
        out.extend(self.pong_received_s.to_be_bytes());
        out.extend(ip_to_field(self.ip));
        for word in [
            self.port,
            self.bus_port,
            self.flags.bits(),
            self.plain_port,
            0,
        ] {
            out.extend(word.to_be_bytes());
        }
    }
}

const _: () = assert!(GossipEntry::LEN == 104);

/// Takes a body apart from its front; every length is checked against what is left.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    kind: FrameType,
    /// How many bytes the body has.
    length: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let taken = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.mismatch(length))?;
        self.rest = taken.1;
        Ok(taken.0)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.mismatch(N))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A reader of the next `length` bytes only.
    fn sub(&mut self, length: usize) -> Result<Reader<'a>, FrameError> {
        let rest = self.take(length)?;
        Ok(Reader {
            kind: self.kind,
            length,
            rest,
        })
    }

    fn node_id(&mut self, field: &'static str) -> Result<NodeId, FrameError> {
        NodeId::from_bytes(self.array()?).map_err(|_| FrameError::NodeId(field))
    }

    fn take_all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    fn finish(self) -> Result<(), FrameError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.mismatch(0))
        }
    }

    /// The error of a body that has not `wanted` bytes at this place, and no more.
    fn mismatch(&self, wanted: usize) -> FrameError {
        let read = self.length - self.rest.len();
        FrameError::LengthMismatch {
            length: HEADER_LEN + self.length,
            kind: self.kind as u16,
            expected: (HEADER_LEN + read) as u64 + wanted as u64,
        }
    }
}
