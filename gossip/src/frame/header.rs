//! The header of a frame: 2256 bytes, laid out as a C struct without padding.

use std::net::IpAddr;
use std::ops::Range;

use bincode::config::{BigEndian, Configuration, Fixint};
use bitflags::bitflags;
use hexad_slots::{SLOT_BYTES, SlotBitmap};

use super::{Body, FrameError, FrameType, GossipEntry, PROTOCOL_VERSION};
use crate::{NodeFlags, NodeId};

/// The size of a header in bytes.
pub const HEADER_LEN: usize = 2256;

/// Where the frame's length stands.
pub(super) const LENGTH_AT: Range<usize> = 4..8;

/// Where the frame's type stands.
pub(super) const TYPE_AT: Range<usize> = 12..14;

const SIGNATURE: [u8; 4] = *b"RCmb";

/// How many leading bytes say the signature, the length, the version, the type and the count.
const PREFIX_LEN: usize = 16;

/// The field of an address: a text, ended by zero bytes.
pub(super) const IP_LEN: usize = 46;

/// What the extensions behind the gossip of one frame may add up to. Redis knows two names of at
/// most 255 bytes, a shard id, and an entry of 48 bytes per forgotten node.
const MAX_EXTENSION_BYTES: u64 = 64 * 1024;

/// What a published message and its channel may add up to: `proto-max-bulk-len` of Redis, and as
/// much again for its channel's name as any sane one needs.
const MAX_PUBLISH_BYTES: u64 = 513 * 1024 * 1024;

/// What a module message, or a frame of an unknown type, may have behind its header. They are
/// only skipped here.
const MAX_SKIPPED_BYTES: u64 = 16 * 1024 * 1024;

/// What every frame carries: who sends it and what it is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type of the frame.
    pub kind: FrameType,
    /// The sender's client port of the kind that its bus uses (TLS or plain).
    pub port: u16,
    /// The sender's plain client port if its bus uses TLS, else 0.
    pub plain_port: u16,
    /// The sender's bus port.
    pub bus_port: u16,
    /// The largest epoch that the sender has seen.
    pub current_epoch: u64,
    /// The sender's configEpoch; for a replica, its primary's.
    pub config_epoch: u64,
    /// The sender's replication offset.
    pub repl_offset: u64,
    /// The sender.
    pub sender: NodeId,
    /// The slots that the sender serves; for a replica, its primary's.
    pub slots: Box<SlotBitmap>,
    /// Whom the sender replicates.
    pub primary: Option<NodeId>,
    /// The address that the sender announces; `None`: take the connection's.
    pub ip: Option<IpAddr>,
    /// What the sender says of itself.
    pub flags: NodeFlags,
    /// Whether the cluster state is `fail` in the sender's eyes.
    pub state_fail: bool,
    /// More about this one message.
    pub message_flags: MessageFlags,
}

bitflags! {
    /// Flags of one message (`mflags[0]`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MessageFlags: u8 {
        /// The sending primary has paused its clients for a manual failover.
        const PAUSED = 1;
        /// Vote for the sender even if its primary is up.
        const FORCE_ACK = 2;
        /// The sender understands extensions. (Redis 7.0 sets it only where it sends some; later
        /// ones always.)
        const EXTENSIONS = 4;
    }
}

/// The header as it lies on the wire; see the table in `ARCHITECTURE.md`.
#[derive(bincode::Encode, bincode::Decode)]
struct Wire {
    signature: [u8; 4],
    length: u32,
    version: u16,
    port: u16,
    kind: u16,
    count: u16,
    current_epoch: u64,
    config_epoch: u64,
    repl_offset: u64,
    sender: [u8; NodeId::LEN],
    slots: [u8; SLOT_BYTES],
    primary: [u8; NodeId::LEN],
    ip: [u8; IP_LEN],
    extensions: u16,
    reserved: [u8; 30],
    plain_port: u16,
    bus_port: u16,
    flags: u16,
    state: u8,
    message_flags: [u8; 3],
}

const WIRE: Configuration<BigEndian, Fixint> = bincode::config::standard()
    .with_big_endian()
    .with_fixed_int_encoding();

/// How many entries and extensions the body of a frame has, as its header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) gossip: u16,
    pub(super) extensions: u16,
}

/// See [`super::frame_length`].
pub(super) fn frame_length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some((signature, rest)) = bytes.split_first_chunk::<4>() else {
        // Do not wait for more of what cannot become a signature.
        let mut given = [0; 4];
        given[..bytes.len()].copy_from_slice(bytes);
        return if SIGNATURE.starts_with(bytes) {
            Ok(None)
        } else {
            Err(FrameError::Signature(given))
        };
    };
    if *signature != SIGNATURE {
        return Err(FrameError::Signature(*signature));
    }
    let Some((length, _)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    if (length as usize) < HEADER_LEN {
        return Err(FrameError::TooShort(length));
    }
    let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() else {
        return Ok(None);
    };
    let word = |at: usize| u16::from_be_bytes([prefix[at], prefix[at + 1]]);
    let (version, kind, count) = (word(8), word(12), word(14));
    if version != PROTOCOL_VERSION {
        return Err(FrameError::Version(version));
    }
    let limit = HEADER_LEN as u64 + max_body_len(FrameType::from_number(kind), count);
    if u64::from(length) > limit {
        return Err(FrameError::TooLong {
            length,
            kind,
            limit,
        });
    }
    Ok(Some(length as usize))
}

/// The most bytes that may follow the header of a frame of this type with `count` entries.
fn max_body_len(kind: Option<FrameType>, count: u16) -> u64 {
    match kind {
        Some(FrameType::Ping | FrameType::Pong | FrameType::Meet) => {
            u64::from(count) * GossipEntry::LEN as u64 + MAX_EXTENSION_BYTES
        }
        Some(FrameType::Fail) => NodeId::LEN as u64,
        Some(FrameType::Publish | FrameType::PublishShard) => 8 + MAX_PUBLISH_BYTES,
        Some(FrameType::Update) => Body::UPDATE_LEN as u64,
        Some(
            FrameType::FailoverAuthRequest
            | FrameType::FailoverAuthAck
            | FrameType::ManualFailoverStart,
        ) => 0,
        Some(FrameType::Module) | None => MAX_SKIPPED_BYTES,
    }
}

impl Header {
    /// Reads the header of a whole frame; `None` if its type is not known.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Self, Counts)>, FrameError> {
        let incomplete = |length| FrameError::Incomplete {
            given: bytes.len(),
            length,
        };
        let length = frame_length(bytes)?.ok_or(incomplete(HEADER_LEN))?;
        if bytes.len() != length {
            return Err(incomplete(length));
        }
        let (wire, _) = bincode::decode_from_slice::<Wire, _>(bytes, WIRE)
            .map_err(|_| incomplete(HEADER_LEN))?;
        let Some(kind) = FrameType::from_number(wire.kind) else {
            return Ok(None);
        };
        let counts = Counts {
            gossip: wire.count,
            extensions: wire.extensions,
        };
        Ok(Some((Self::from_wire(kind, wire)?, counts)))
    }

    fn from_wire(kind: FrameType, wire: Wire) -> Result<Self, FrameError> {
        let id = |bytes, field| NodeId::from_bytes(bytes).map_err(|_| FrameError::NodeId(field));
        let primary = match wire.primary {
            [0, ..] => None,
            bytes => Some(id(bytes, "the sender's primary")?),
        };
        Ok(Self {
            kind,
            port: wire.port,
            plain_port: wire.plain_port,
            bus_port: wire.bus_port,
            current_epoch: wire.current_epoch,
            config_epoch: wire.config_epoch,
            repl_offset: wire.repl_offset,
            sender: id(wire.sender, "the sender")?,
            slots: Box::new(SlotBitmap::from_bytes(wire.slots)),
            primary,
            ip: ip_from_field(&wire.ip).map_err(|()| FrameError::Address("the header"))?,
            flags: NodeFlags::from_bits_truncate(wire.flags),
            state_fail: wire.state != 0,
            message_flags: MessageFlags::from_bits_truncate(wire.message_flags[0]),
        })
    }

    /// Appends the header's bytes, with a length of 0 for the caller to fill in.
    pub(super) fn encode(&self, counts: Counts, out: &mut Vec<u8>) {
        let wire = Wire {
            signature: SIGNATURE,
            length: 0,
            version: PROTOCOL_VERSION,
            port: self.port,
            kind: self.kind as u16,
            count: counts.gossip,
            current_epoch: self.current_epoch,
            config_epoch: self.config_epoch,
            repl_offset: self.repl_offset,
            sender: *self.sender.as_bytes(),
            slots: *self.slots.as_bytes(),
            primary: self.primary.map_or([0; NodeId::LEN], |id| *id.as_bytes()),
            ip: ip_to_field(self.ip),
            extensions: counts.extensions,
            reserved: [0; 30],
            plain_port: self.plain_port,
            bus_port: self.bus_port,
            flags: self.flags.bits(),
            state: self.state_fail.into(),
            message_flags: [self.message_flags.bits(), 0, 0],
        };
        let at = out.len();
        out.resize(at + HEADER_LEN, 0);
        let written = bincode::encode_into_slice(wire, &mut out[at..], WIRE);
        // The struct has fields of fixed size only; a golden test holds it to this size.
        debug_assert!(matches!(written, Ok(HEADER_LEN)));
    }
}

/// The address in a field of zero-padded text; an empty one is `None`.
pub(super) fn ip_from_field(field: &[u8; IP_LEN]) -> Result<Option<IpAddr>, ()> {
    let length = field.iter().position(|&byte| byte == 0).ok_or(())?;
    if length == 0 {
        return Ok(None);
    }
    let text = std::str::from_utf8(&field[..length]).map_err(|_| ())?;
    text.parse().map(Some).map_err(|_| ())
}

/// The inverse of [`ip_from_field`].
pub(super) fn ip_to_field(ip: Option<IpAddr>) -> [u8; IP_LEN] {
    let mut field = [0; IP_LEN];
    if let Some(ip) = ip {
        // The longest text of an address has 45 bytes.
        let text = ip.to_string();
        field[..text.len()].copy_from_slice(text.as_bytes());
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_fill_their_field_with_zeros() {
        for text in ["127.0.0.1", "::1", "2001:db8:1234:5678:9abc:def0:1234:5678"] {
            let ip: IpAddr = text.parse().unwrap();
            let field = ip_to_field(Some(ip));
            assert_eq!(&field[..text.len()], text.as_bytes());
            assert!(field[text.len()..].iter().all(|&byte| byte == 0));
            assert_eq!(ip_from_field(&field), Ok(Some(ip)));
        }
        assert_eq!(ip_from_field(&[0; IP_LEN]), Ok(None));
        assert_eq!(ip_from_field(&[b'1'; IP_LEN]), Err(()), "no end");
        assert_eq!(
            ip_from_field(&{
                let mut f = [0; IP_LEN];
                f[0] = b'x';
                f
            }),
            Err(())
        );
    }

    #[test]
    fn a_length_is_told_from_the_first_16_bytes() {
        let prefix = |length: u32, version: u16, kind: u16, count: u16| {
            let mut bytes = b"RCmb".to_vec();
            bytes.extend(length.to_be_bytes());
            for word in [version, 7000, kind, count] {
                bytes.extend(word.to_be_bytes());
            }
            bytes
        };
        let ping = prefix(2256 + 104, 1, 0, 1);
        for cut in 0..16 {
            assert_eq!(frame_length(&ping[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(frame_length(&ping), Ok(Some(2360)));
        assert_eq!(frame_length(b"RX"), Err(FrameError::Signature(*b"RX\0\0")));
        assert_eq!(
            frame_length(b"GET / HTTP"),
            Err(FrameError::Signature(*b"GET "))
        );
        assert_eq!(
            frame_length(&prefix(2255, 1, 0, 0)[..8]),
            Err(FrameError::TooShort(2255))
        );
        assert_eq!(
            frame_length(&prefix(2256, 2, 0, 0)),
            Err(FrameError::Version(2))
        );
        for (kind, count, limit) in [
            (0, 0, 2256 + 65536),
            (2, 10, 2256 + 1040 + 65536),
            (3, 65535, 2296),
            (4, 0, 2256 + 8 + 513 * 1024 * 1024),
            (5, 0, 2256),
            (7, 0, 2256 + 2096),
            (9, 0, 2256 + 16 * 1024 * 1024),
            (999, 0, 2256 + 16 * 1024 * 1024),
        ] {
            let ok = frame_length(&prefix(limit, 1, kind, count));
            assert_eq!(ok, Ok(Some(limit as usize)), "type {kind}");
            let over = frame_length(&prefix(limit + 1, 1, kind, count));
            let limit = u64::from(limit);
            assert_eq!(
                over,
                Err(FrameError::TooLong {
                    length: limit as u32 + 1,
                    kind,
                    limit
                })
            );
        }
    }
}
