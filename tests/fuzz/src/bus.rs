//! Bus frames: the codec is a bijection on what it takes, and no frame breaks the state machine.

use std::net::{IpAddr, Ipv4Addr};

use hexad_gossip::frame::{Frame, frame_length};
use hexad_gossip::{Cluster, Config, Input, NodesConf, Output};

const NOW: u64 = 1_700_000_000_000;

/// Offsets in a frame's header that the target fills in, so that inputs get past the first checks.
const LENGTH: usize = 4;
const VERSION: usize = 8;
const TYPE: usize = 12;
const SENDER: usize = 40;
const HEADER: usize = 2256;

/// The three nodes of the cluster that receives the frames.
const MEMBERS: [&str; 3] = [
    "0123456789abcdef0123456789abcdef01234567",
    "1123456789abcdef0123456789abcdef01234567",
    "2123456789abcdef0123456789abcdef01234567",
];

/// Three ways to read the input, by its first byte: as it stands; as one frame whose outline is
/// put right; as one frame from a member whose outline is put right.
pub fn bus(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = rest.to_vec();
    if mode % 3 > 0 {
        put_right(&mut bytes, mode % 3 == 2);
    }
    codec(&bytes);
    machine(&bytes, mode);
}

fn put_right(frame: &mut Vec<u8>, from_member: bool) {
    frame.resize(frame.len().max(HEADER), 0);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(b"RCmb");
    frame[LENGTH..LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    frame[VERSION..VERSION + 2].copy_from_slice(&1u16.to_be_bytes());
    frame[TYPE] = 0;
    frame[TYPE + 1] %= 12;
    if from_member {
        frame[SENDER..SENDER + 40].copy_from_slice(MEMBERS[1].as_bytes());
    }
}

fn codec(bytes: &[u8]) {
    let Ok(Some(length)) = frame_length(bytes) else {
        return;
    };
    let Some(frame) = bytes.get(..length) else {
        return;
    };
    let Ok(Some(frame)) = Frame::decode(frame) else {
        return;
    };
    let encoded = frame.encode();
    assert_eq!(frame_length(&encoded), Ok(Some(encoded.len())));
    assert_eq!(Frame::decode(&encoded), Ok(Some(frame)));
}

/// Feeds the frames to a node of a cluster. That costs a thousand times what the codec does, so
/// nothing is set up where there is no frame.
fn machine(bytes: &[u8], mode: u8) {
    if !matches!(frame_length(bytes), Ok(Some(length)) if length <= bytes.len()) {
        return;
    }
    let text = format!(
        "{} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460\n\
         {} 127.0.0.1:7001@17001 master - 0 1426238316232 2 connected 5461-10922\n\
         {} 127.0.0.1:7002@17002 master - 0 1426238316232 3 connected 10923-16383\n\
         vars currentEpoch 3 lastVoteEpoch 0\n",
        MEMBERS[0], MEMBERS[1], MEMBERS[2]
    );
    let loaded = Cluster::load(&text, Config::new(7000), u64::from(mode), NOW);
    let mut cluster = loaded.expect("a sound nodes.conf");
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let link = cluster.accept(NOW, local, local);
    drain(&mut cluster);
    let mut rest = bytes;
    let mut now = NOW;
    while let Ok(Some(length)) = frame_length(rest) {
        let Some((frame, behind)) = rest.split_at_checked(length) else {
            break;
        };
        now += 50;
        cluster.handle(now, Input::Frame { link, bytes: frame });
        drain(&mut cluster);
        rest = behind;
    }
    for _ in 0..3 {
        now = cluster
            .poll_timeout()
            .expect("there always is a next tick")
            .max(now);
        cluster.handle(now, Input::Tick);
        drain(&mut cluster);
    }
    let _ = cluster.view();
    NodesConf::parse(&cluster.nodes_conf()).expect("a node can always start again");
}

fn drain(cluster: &mut Cluster) {
    while let Some(output) = cluster.poll_output() {
        match output {
            Output::Send { frame, .. } => {
                let sent = Frame::decode(&frame).expect("what is sent is well-formed");
                assert!(sent.is_some());
            }
            Output::Persist(text) => {
                let text = std::str::from_utf8(&text).expect("nodes.conf is text");
                NodesConf::parse(text).expect("what is persisted can be read");
            }
            _ => {}
        }
    }
}
