//! Frames of nodes that nobody knows, with whatever a stranger might try.

use hexad_gossip::NodeId;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use crate::wire::{self, flag, kind};

/// What a stranger's frame is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lie {
    /// The node that is slandered or misrepresented.
    pub about: NodeId,
    /// The epoch that is claimed.
    pub epoch: u64,
}

/// A frame of any type but MEET by a sender with a random id, claiming every slot.
pub(crate) fn frame(rng: &mut SmallRng, lie: Lie) -> Vec<u8> {
    let kind = *[kind::PING, kind::PONG, kind::FAIL, kind::UPDATE]
        .choose(rng)
        .expect("not empty");
    let mut bytes = vec![0u8; wire::HEADER_BYTES];
    bytes[..4].copy_from_slice(b"RCmb");
    bytes[8..10].copy_from_slice(&1u16.to_be_bytes());
    bytes[10..12].copy_from_slice(&7999u16.to_be_bytes());
    bytes[12..14].copy_from_slice(&kind.to_be_bytes());
    bytes[16..24].copy_from_slice(&lie.epoch.to_be_bytes());
    bytes[24..32].copy_from_slice(&lie.epoch.to_be_bytes());
    bytes[40..80].copy_from_slice(NodeId::random(rng).as_bytes());
    bytes[80..2128].fill(0xff);
    bytes[2248..2250].copy_from_slice(&17999u16.to_be_bytes());
    bytes[2250..2252].copy_from_slice(&flag::MASTER.to_be_bytes());
    match kind {
        kind::FAIL => bytes.extend(lie.about.as_bytes()),
        kind::UPDATE => {
            bytes.extend(lie.epoch.to_be_bytes());
            bytes.extend(lie.about.as_bytes());
            bytes.extend([0xff; 2048]);
        }
        _ => gossip(&mut bytes, rng, lie.about),
    }
    let length = u32::try_from(bytes.len()).expect("a few kilobytes");
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// A gossip entry that calls the node failed, or nothing.
fn gossip(bytes: &mut Vec<u8>, rng: &mut SmallRng, about: NodeId) {
    if rng.random_ratio(1, 2) {
        return;
    }
    bytes[14..16].copy_from_slice(&1u16.to_be_bytes());
    let at = bytes.len();
    bytes.resize(at + wire::GOSSIP_BYTES, 0);
    bytes[at..at + 40].copy_from_slice(about.as_bytes());
    bytes[at + 48..at + 56].copy_from_slice(b"10.9.9.9");
    bytes[at + 94..at + 96].copy_from_slice(&7999u16.to_be_bytes());
    bytes[at + 96..at + 98].copy_from_slice(&17999u16.to_be_bytes());
    let flags = flag::MASTER | flag::FAIL;
    bytes[at + 98..at + 100].copy_from_slice(&flags.to_be_bytes());
}
