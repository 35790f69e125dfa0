//! 100,000 random and mutated bus frames at a live cluster: nobody's view changes.
//!
//! The bus of Redis 7.0 knows no secret: a well-formed frame in a member's name is that member's
//! word. So what is sent here is what a node must not believe: noise, frames of every type but
//! MEET from nodes that nobody knows, and members' frames that are cut or contradict themselves.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use hexad_tests::{Cluster, Kind, NodeLine, Server, on_both};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

const FRAMES: usize = 100_000;

/// At most so many frames go over one link.
const FRAMES_PER_LINK: usize = 50;

/// Long enough that nothing but the frames can move the views during the test.
const NODE_TIMEOUT: Duration = Duration::from_secs(60);

const HEADER: usize = 2256;
const GOSSIP_ENTRY: usize = 104;

/// Offsets of the header's fields.
mod at {
    pub(crate) const TOTAL_LENGTH: usize = 4;
    pub(crate) const VERSION: usize = 8;
    pub(crate) const PORT: usize = 10;
    pub(crate) const TYPE: usize = 12;
    pub(crate) const COUNT: usize = 14;
    pub(crate) const CURRENT_EPOCH: usize = 16;
    pub(crate) const CONFIG_EPOCH: usize = 24;
    pub(crate) const SENDER: usize = 40;
    pub(crate) const SLOTS: usize = 80;
    pub(crate) const CLIENT_BUS_PORT: usize = 2248;
    pub(crate) const FLAGS: usize = 2250;
    pub(crate) const MESSAGE_FLAGS: usize = 2253;
}

const MEET: u16 = 2;
const HIGHEST_TYPE: u16 = 10;

on_both! {
    frames_change_nobodys_view,
    a_sound_frame_of_a_member_is_believed,
}

fn frames_change_nobodys_view(kind: Kind) {
    let mut cluster = Cluster::create(&[kind; 3], 0, NODE_TIMEOUT);
    let before = views(&cluster);
    let members: Vec<String> = (0..cluster.len()).map(|index| cluster.id(index)).collect();
    let pids: Vec<u32> = cluster.nodes().iter().map(Server::pid).collect();

    let mut frames = Frames {
        rng: SmallRng::seed_from_u64(7),
        members,
    };
    let mut sent = 0;
    for round in 0.. {
        let link = frames.for_one_link();
        deliver(&cluster[round % cluster.len()], &link);
        sent += link.len();
        if sent >= FRAMES {
            break;
        }
    }

    for index in 0..cluster.len() {
        assert!(cluster[index].is_running(), "{}", cluster[index].log_tail());
        assert_eq!(cluster[index].pid(), pids[index]);
    }
    assert_eq!(views(&cluster), before);
    let (reply, _) = cluster.client().call(0, &["SET", "key", "value"]);
    assert_eq!(reply.text(), "OK");
}

/// Shows that the frames above are refused for what is wrong with them and not for their form.
fn a_sound_frame_of_a_member_is_believed(kind: Kind) {
    let cluster = Cluster::create(&[kind; 3], 0, NODE_TIMEOUT);
    let member = cluster.id(1);
    let mut frames = Frames {
        rng: SmallRng::seed_from_u64(7),
        members: vec![member.clone()],
    };
    let mut frame = frames.frame(5, &member);
    put(&mut frame, at::TYPE, &0u16.to_be_bytes());
    put(&mut frame, at::PORT, &cluster[1].port().to_be_bytes());
    put(
        &mut frame,
        at::CLIENT_BUS_PORT,
        &cluster[1].bus_port().to_be_bytes(),
    );
    put(&mut frame, at::CURRENT_EPOCH, &999u64.to_be_bytes());
    put(&mut frame, at::CONFIG_EPOCH, &0u64.to_be_bytes());
    frame[at::SLOTS..at::SLOTS + 2048].fill(0);
    frame[at::MESSAGE_FLAGS] = 0;
    deliver(&cluster[0], &[frame]);
    cluster.wait(
        "the epoch is taken over",
        Duration::from_secs(10),
        |cluster| {
            let epoch = cluster.info(0).get("cluster_current_epoch").to_owned();
            if epoch == "999" {
                Ok(())
            } else {
                Err(format!("it is {epoch}"))
            }
        },
    );
}

/// What each node says of the cluster, without times.
fn views(cluster: &Cluster) -> Vec<String> {
    let view = |index| {
        let lines: Vec<_> = cluster.view(index).iter().map(NodeLine::lasting).collect();
        let info = cluster.info(index);
        let fields = [
            "cluster_state",
            "cluster_current_epoch",
            "cluster_my_epoch",
            "cluster_size",
        ];
        format!(
            "{}\n{:?}",
            lines.join("\n"),
            fields.map(|field| info.get(field).to_owned())
        )
    };
    (0..cluster.len()).map(view).collect()
}

/// Sends frames on one link, and waits until the node has taken them all or closed the link.
fn deliver(node: &Server, frames: &[Vec<u8>]) {
    let mut link = TcpStream::connect((Ipv4Addr::LOCALHOST, node.bus_port())).expect("a bus link");
    link.set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout can be set");
    // A link that the node closes early fails here: that is its good right.
    let _ = link.write_all(&frames.concat());
    let _ = link.shutdown(Shutdown::Write);
    let mut replies = [0; 8192];
    loop {
        match link.read(&mut replies) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the node neither reads on nor closes: {error}"),
        }
    }
}

/// A stream of frames that a node must not believe.
struct Frames {
    rng: SmallRng,
    members: Vec<String>,
}

impl Frames {
    /// Frames for one link. One that may make the node close it comes last, so that all are read.
    fn for_one_link(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while frames.len() < FRAMES_PER_LINK {
            let (frame, sound) = match self.rng.random_range(0..100) {
                0..5 => (self.noise(), false),
                5..15 => (self.contradiction(), false),
                _ => self.stranger(),
            };
            frames.push(frame);
            if !sound {
                break;
            }
        }
        frames
    }

    /// Random bytes, sometimes behind the right signature and a length.
    fn noise(&mut self) -> Vec<u8> {
        let len = self.rng.random_range(1..4096);
        let mut frame = vec![0; len];
        self.rng.fill_bytes(&mut frame);
        if len > 16 && self.rng.random() {
            frame[..4].copy_from_slice(b"RCmb");
            if self.rng.random() {
                put(&mut frame, at::TOTAL_LENGTH, &u32_of(len));
            }
            // Noise with the version right must not come to be a MEET.
            if frame[at::TYPE..at::TYPE + 2] == MEET.to_be_bytes() {
                frame[at::TYPE] = 0xff;
            }
        }
        frame
    }

    /// A well-formed frame from a node that nobody knows, then some bytes of it changed; and
    /// whether these left its outline as it was.
    fn stranger(&mut self) -> (Vec<u8>, bool) {
        let kind = loop {
            let kind = self.rng.random_range(0..=HIGHEST_TYPE);
            if kind != MEET {
                break kind;
            }
        };
        let sender = self.random_id();
        let mut frame = self.frame(kind, &sender);
        let mut sound = true;
        for _ in 0..self.rng.random_range(0..6) {
            let place = self.rng.random_range(0..frame.len());
            let kept = [at::TYPE..at::TYPE + 2, at::SENDER..at::SENDER + 40];
            if kept.iter().any(|range| range.contains(&place)) {
                continue;
            }
            frame[place] = self.rng.random();
            let outline = place < at::CURRENT_EPOCH || place == at::MESSAGE_FLAGS;
            sound &= !(outline || kind > 2 && place >= HEADER);
        }
        (frame, sound)
    }

    /// A frame in a member's name whose parts do not fit each other.
    fn contradiction(&mut self) -> Vec<u8> {
        let kind = [0, 1, 3, 5, 6, 7][self.rng.random_range(0..6)];
        let member = self.members[self.rng.random_range(0..self.members.len())].clone();
        let mut frame = self.frame(kind, &member);
        let len = frame.len();
        match self.rng.random_range(0..4) {
            0 => frame[..4].copy_from_slice(b"RCmX"),
            1 => put(
                &mut frame,
                at::VERSION,
                &self.rng.random_range(2..=u16::MAX).to_be_bytes(),
            ),
            2 => {
                // The length says more or less than the type and its count take.
                let wrong = if self.rng.random() { len - 1 } else { len + 1 };
                frame.resize(wrong, 0);
                put(&mut frame, at::TOTAL_LENGTH, &u32_of(wrong));
            }
            _ => {
                let small = self.rng.random_range(0..16u32);
                put(&mut frame, at::TOTAL_LENGTH, &small.to_be_bytes());
            }
        }
        frame
    }

    /// A frame of the given type that claims the highest epochs and all the slots.
    fn frame(&mut self, kind: u16, sender: &str) -> Vec<u8> {
        let count: u16 = if kind <= 2 {
            self.rng.random_range(0..4)
        } else {
            0
        };
        let member = self.members[self.rng.random_range(0..self.members.len())].clone();
        let body = self.body(kind, count, &member);
        let mut frame = vec![0; HEADER];
        frame[..4].copy_from_slice(b"RCmb");
        put(&mut frame, at::TOTAL_LENGTH, &u32_of(HEADER + body.len()));
        put(&mut frame, at::VERSION, &1u16.to_be_bytes());
        put(&mut frame, at::PORT, &7000u16.to_be_bytes());
        put(&mut frame, at::TYPE, &kind.to_be_bytes());
        put(&mut frame, at::COUNT, &count.to_be_bytes());
        put(
            &mut frame,
            at::CURRENT_EPOCH,
            &self.rng.random::<u64>().to_be_bytes(),
        );
        put(
            &mut frame,
            at::CONFIG_EPOCH,
            &self.rng.random::<u64>().to_be_bytes(),
        );
        put(&mut frame, at::SENDER, sender.as_bytes());
        frame[at::SLOTS..at::SLOTS + 2048].fill(0xff);
        put(&mut frame, at::CLIENT_BUS_PORT, &17000u16.to_be_bytes());
        put(&mut frame, at::FLAGS, &1u16.to_be_bytes());
        // Paused and force-ack; no extensions.
        frame[at::MESSAGE_FLAGS] = self.rng.random_range(0..4);
        frame.extend(body);
        frame
    }

    /// The body of a frame, about a member where it is about a node.
    fn body(&mut self, kind: u16, count: u16, member: &str) -> Vec<u8> {
        let mut body = Vec::new();
        match kind {
            0..=2 => {
                for _ in 0..count {
                    let mut entry = vec![0; GOSSIP_ENTRY];
                    put(&mut entry, 0, member.as_bytes());
                    put(&mut entry, 48, b"127.0.0.1");
                    put(&mut entry, 94, &7001u16.to_be_bytes());
                    put(&mut entry, 96, &17001u16.to_be_bytes());
                    // Primary, and FAIL or PFAIL.
                    let failing = if self.rng.random() { 4u16 } else { 8 };
                    put(&mut entry, 98, &(1 | failing).to_be_bytes());
                    body.extend(entry);
                }
            }
            3 => body.extend(member.as_bytes()),
            4 | 10 => {
                body.extend(u32_of(3));
                body.extend(u32_of(5));
                body.extend(b"abchello");
            }
            7 => {
                body.extend(self.rng.random::<u64>().to_be_bytes());
                body.extend(member.as_bytes());
                body.extend([0xff; 2048]);
            }
            9 => {
                body.extend(self.rng.random::<u64>().to_be_bytes());
                body.extend(u32_of(3));
                body.extend([1, b'a', b'b', b'c']);
            }
            _ => {}
        }
        body
    }

    fn random_id(&mut self) -> String {
        (0..40)
            .map(|_| char::from(b"0123456789abcdef"[self.rng.random_range(0..16)]))
            .collect()
    }
}

fn put(frame: &mut [u8], place: usize, bytes: &[u8]) {
    frame[place..place + bytes.len()].copy_from_slice(bytes);
}

fn u32_of(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("frames are small").to_be_bytes()
}
