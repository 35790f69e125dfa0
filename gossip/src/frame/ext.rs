//! Extensions: what newer nodes say of themselves behind the gossip of a heartbeat.
//!
//! Each is a length (u32, this head included, a multiple of 8), a type (u16), two unused bytes
//! and data, padded with zeros.

use super::FrameError;
use super::body::Reader;
use crate::NodeId;

/// The extensions of one heartbeat. Types that are not known are skipped and not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Type 0: `cluster-announce-hostname`.
    pub hostname: Option<String>,
    /// Type 1, since Redis 7.2: `cluster-announce-human-nodename`.
    pub human_name: Option<String>,
    /// Type 2, since Redis 7.2: nodes that were forgotten, and for how many seconds.
    pub forgotten: Vec<(NodeId, u64)>,
    /// Type 3, since Redis 7.2: the id of the sender's shard.
    pub shard_id: Option<NodeId>,
    /// Whether there was one that a Redis 7.0 node does not send.
    pub newer_than_7_0: bool,
}

const HOSTNAME: u16 = 0;
const HUMAN_NAME: u16 = 1;
const FORGOTTEN: u16 = 2;
const SHARD_ID: u16 = 3;

/// Length, type and unused bytes.
const HEAD_LEN: usize = 8;
const ALIGNMENT: usize = 8;

/// The longest name that Redis takes, without the zero byte that ends it.
const MAX_NAME_LEN: usize = 255;

impl Extensions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many extensions these are on the wire.
    pub(super) fn count(&self) -> u16 {
        let names = [
            self.hostname.is_some(),
            self.human_name.is_some(),
            self.shard_id.is_some(),
        ];
        let ones = names.into_iter().filter(|&there| there).count();
        u16::try_from(ones + self.forgotten.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn encoded_len(&self) -> usize {
        let name = |name: &Option<String>| {
            name.as_ref().map_or(0, |name| {
                HEAD_LEN + (name.len() + 1).next_multiple_of(ALIGNMENT)
            })
        };
        name(&self.hostname)
            + name(&self.human_name)
            + self.forgotten.len() * (HEAD_LEN + NodeId::LEN + 8)
            + self.shard_id.map_or(0, |_| HEAD_LEN + NodeId::LEN)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let named = [(HOSTNAME, &self.hostname), (HUMAN_NAME, &self.human_name)];
        for (kind, name) in named {
            if let Some(name) = name {
                encode_one(out, kind, &[name.as_bytes(), &[0]]);
            }
        }
        for (id, ttl_s) in &self.forgotten {
            encode_one(out, FORGOTTEN, &[id.as_bytes(), &ttl_s.to_be_bytes()]);
        }
        if let Some(id) = &self.shard_id {
            encode_one(out, SHARD_ID, &[id.as_bytes()]);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>, count: u16) -> Result<Self, FrameError> {
        let mut extensions = Self::default();
        for _ in 0..count {
            let length = reader.u32()? as usize;
            let (kind, _unused) = (reader.u16()?, reader.u16()?);
            if length < HEAD_LEN || !length.is_multiple_of(ALIGNMENT) {
                return Err(FrameError::Extension(kind));
            }
            let data = reader.take(length - HEAD_LEN)?;
            extensions
                .add(kind, data)
                .ok_or(FrameError::Extension(kind))?;
        }
        Ok(extensions)
    }

    /// Takes in one extension; `None` if its data is malformed.
    fn add(&mut self, kind: u16, data: &[u8]) -> Option<()> {
        self.newer_than_7_0 |= kind != HOSTNAME;
        match kind {
            HOSTNAME => self.hostname = Some(decode_name(data)?),
            HUMAN_NAME => self.human_name = Some(decode_name(data)?),
            FORGOTTEN => {
                let (id, rest) = data.split_first_chunk()?;
                let ttl_s = u64::from_be_bytes(*rest.first_chunk()?);
                self.forgotten.push((NodeId::from_bytes(*id).ok()?, ttl_s));
            }
            SHARD_ID => self.shard_id = Some(NodeId::from_bytes(*data.first_chunk()?).ok()?),
            _ => {}
        }
        Some(())
    }
}

/// A name ends at its first zero byte, which must be there. Blanks, commas and control characters
/// would break nodes.conf and replies.
fn decode_name(data: &[u8]) -> Option<String> {
    let length = data.iter().position(|&byte| byte == 0)?;
    let clean = |&byte: &u8| byte.is_ascii_graphic() && byte != b',';
    let valid = length <= MAX_NAME_LEN && data[..length].iter().all(clean);
    let name = std::str::from_utf8(&data[..length]).ok()?;
    valid.then(|| name.to_owned())
}

fn encode_one(out: &mut Vec<u8>, kind: u16, parts: &[&[u8]]) {
    let data_len: usize = parts.iter().map(|part| part.len()).sum();
    let padded = data_len.next_multiple_of(ALIGNMENT);
    out.extend(((HEAD_LEN + padded) as u32).to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend([0; 2]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.resize(out.len() + padded - data_len, 0);
}
