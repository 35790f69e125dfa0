//! One machine alone with a peer that the test plays.

use super::*;
use crate::frame::{Body, Extensions, Frame, FrameType, GossipEntry, Header, MessageFlags};

/// A machine, loaded from a file, with a played peer `b` at 10.0.0.1.
pub(super) struct Lone {
    pub(super) cluster: Cluster,
    pub(super) now: Millis,
    /// The machine's link to `b`.
    pub(super) link: LinkId,
}

pub(super) fn id(digit: char) -> NodeId {
    digit.to_string().repeat(NodeId::LEN).parse().unwrap()
}

/// A header as primary `sender` would send it.
pub(super) fn header(kind: FrameType, sender: char) -> Header {
    Header {
        kind,
        port: 7000,
        plain_port: 0,
        bus_port: 17000,
        current_epoch: 5,
        config_epoch: 2,
        repl_offset: 0,
        sender: id(sender),
        slots: slots("100-199"),
        primary: None,
        ip: None,
        flags: NodeFlags::PRIMARY | NodeFlags::MYSELF,
        state_fail: false,
        message_flags: MessageFlags::empty(),
    }
}

pub(super) fn heartbeat(header: Header, entries: Vec<GossipEntry>) -> Frame {
    Frame {
        header,
        body: Body::Gossip {
            entries,
            extensions: Extensions::default(),
        },
    }
}

pub(super) fn entry(node: char, flags: NodeFlags) -> GossipEntry {
    GossipEntry {
        id: id(node),
        ping_sent_s: 0,
        pong_received_s: (START / 1000) as u32,
        ip: Some("10.0.0.7".parse().unwrap()),
        port: 7000,
        bus_port: 17000,
        flags,
        plain_port: 0,
    }
}

impl Lone {
    /// This node is `a` with slots 0-99 and epoch 1, `b` has 100-199 and 2, `c` 200-16383 and 3.
    /// The link to `b` is up and its first PONG is in.
    pub(super) fn new() -> Self {
        Self::from_file(&format!(
            "{} 10.0.0.0:7000@17000 myself,master - 0 0 1 connected 0-99\n\
             {} 10.0.0.1:7000@17000 master - 0 0 2 connected 100-199\n\
             {} 10.0.0.2:7000@17000 master - 0 0 3 connected 200-16383\n\
             vars currentEpoch 5 lastVoteEpoch 0\n",
            id('a'),
            id('b'),
            id('c'),
        ))
    }

    pub(super) fn from_file(file: &str) -> Self {
        let cluster = Cluster::load(file, config(), 1, START).unwrap();
        let mut lone = Self {
            cluster,
            now: START,
            link: LinkId(0),
        };
        lone.drain();
        let outputs = lone.tick(100);
        let to_b = outputs.iter().find_map(|output| match output {
            Output::Connect { link, addr } if addr.ip() == ip(1) => Some(*link),
            _ => None,
        });
        lone.link = to_b.unwrap();
        lone.connected();
        lone.frame(&heartbeat(header(FrameType::Pong, 'b'), vec![]));
        lone
    }

    pub(super) fn connected(&mut self) -> Vec<Output> {
        self.input(Input::Connected {
            link: self.link,
            local_ip: ip(0),
        })
    }

    pub(super) fn accept(&mut self) -> LinkId {
        self.cluster.accept(self.now, ip(1), ip(0))
    }

    /// A frame over the machine's own link to `b`.
    pub(super) fn frame(&mut self, frame: &Frame) -> Vec<Output> {
        self.frame_on(self.link, frame)
    }

    pub(super) fn frame_on(&mut self, link: LinkId, frame: &Frame) -> Vec<Output> {
        self.input(Input::Frame {
            link,
            bytes: &frame.encode(),
        })
    }

    pub(super) fn tick(&mut self, ms: u64) -> Vec<Output> {
        self.now += ms;
        self.input(Input::Tick)
    }

    pub(super) fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.cluster.handle(self.now, input);
        self.drain()
    }

    pub(super) fn admin(&mut self, admin: Admin) -> Result<Vec<Output>, String> {
        match self.cluster.admin(self.now, admin) {
            Ok(_) => Ok(self.drain()),
            Err(error) => {
                assert_eq!(self.drain(), [], "a refusal changes nothing");
                Err(error.to_string())
            }
        }
    }

    pub(super) fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.cluster.poll_output()).collect()
    }

    pub(super) fn seen(&mut self, node: char) -> NodeView {
        self.cluster.view().node(&id(node)).unwrap().clone()
    }
}

/// Outputs as short words: what a test compares.
pub(super) fn words(outputs: &[Output]) -> Vec<String> {
    let word = |output: &Output| match output {
        Output::Persist(_) => "persist".to_owned(),
        Output::Connect { addr, .. } => format!("connect {addr}"),
        Output::Send { frame, .. } => {
            let frame = Frame::decode(frame).unwrap().unwrap();
            let about = match frame.body {
                Body::Fail(about) => format!(" about {}", &about.as_str()[..1]),
                Body::Update {
                    node, config_epoch, ..
                } => {
                    format!(" about {} at {config_epoch}", &node.as_str()[..1])
                }
                _ => String::new(),
            };
            format!("send {}{about}", frame.header.kind)
        }
        Output::Close { .. } => "close".to_owned(),
        Output::ViewChanged => "view".to_owned(),
        Output::DropKeys(slots) => format!("drop {slots:?}"),
        Output::RoleChanged { term, role } => match role {
            Role::Primary => format!("role {term}: primary"),
            Role::Replica { of: None } => format!("role {term}: replica of nobody"),
            Role::Replica { of: Some(of) } => {
                let id = &of.id.as_str()[..1];
                format!("role {term}: replica of {id} at {}:{}", of.ip, of.port)
            }
        },
        Output::PauseWrites { until_ms } => format!("pause for {} ms", until_ms - START),
        Output::ResumeWrites => "resume".to_owned(),
        Output::Published { .. } => "published".to_owned(),
        Output::Log { text, .. } => format!("log {text}"),
    };
    outputs.iter().map(word).collect()
}
