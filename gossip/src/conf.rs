//! nodes.conf: the file in which a node keeps its idea of the cluster.
//!
//! One line per node, then one of variables, as Redis 7.0 writes it:
//!
//! ```text
//! <id> <ip>:<port>@<bus port>[,<hostname>] <flags> <primary id or -> <ping sent> <pong received> <configEpoch> <link state> [<slot>|<from>-<to>|[<slot>->-<id>]|[<slot>-<-<id>]] …
//! vars currentEpoch <n> lastVoteEpoch <n>
//! ```
//!
//! Redis 7.2 and later write `name=value` fields behind the hostname. They are read over, but for
//! the shard id, and never written: Redis 7.0 would take them for a part of the hostname.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;

use hexad_slots::{Slot, SlotBitmap, SlotRange, SlotRangeError};

use crate::{Config, Millis, NodeFlags, NodeId};

/// The contents of a nodes.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesConf {
    /// The nodes. Exactly one has [`NodeFlags::MYSELF`], ids are distinct, and no slot is on two
    /// of them.
    pub nodes: Vec<NodeLine>,
    /// The largest epoch that this node has seen.
    pub current_epoch: u64,
    /// The epoch of its last vote.
    pub last_vote_epoch: u64,
}

/// A node's line of nodes.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// The node.
    pub id: NodeId,
    /// Its address, if it is known.
    pub ip: Option<IpAddr>,
    /// Its client port, of the kind that its bus uses.
    pub port: u16,
    /// Its bus port.
    pub bus_port: u16,
    /// Its hostname; empty for none.
    pub hostname: String,
    /// The id of its shard, where a later Redis has left one.
    pub shard_id: Option<NodeId>,
    /// What is known of it.
    pub flags: NodeFlags,
    /// Whom it replicates.
    pub primary: Option<NodeId>,
    /// When the ping went out that was not answered; 0 if there was none.
    pub ping_sent: Millis,
    /// When it was last known alive.
    pub pong_received: Millis,
    /// Its configEpoch.
    pub config_epoch: u64,
    /// Whether there was a link to it.
    pub connected: bool,
    /// The slots that it serves.
    pub slots: Box<SlotBitmap>,
    /// Slots that are being moved away; on this node's own line only.
    pub migrating: BTreeMap<Slot, NodeId>,
    /// Slots that are being moved here; on this node's own line only.
    pub importing: BTreeMap<Slot, NodeId>,
}

/// Why a text is no nodes.conf. The node must not start from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A line is malformed.
    #[error("line {line}: {error}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        error: LineError,
    },
    /// No line, or more than one, has the flag `myself`.
    #[error("{0} lines have the flag 'myself' instead of one")]
    Myself(usize),
}

/// What is wrong with a line of nodes.conf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A node needs 8 fields at least.
    #[error("{0} fields are too few for a node")]
    TooFewFields(usize),
    /// A field that should hold a node id does not.
    #[error("'{0}' is not a node id")]
    NodeId(String),
    /// A second line of the same node.
    #[error("a second line for node {0}")]
    DuplicateNode(NodeId),
    /// The address is not `ip:port@port`.
    #[error("'{0}' is not an address (ip:port@bus-port)")]
    Address(String),
    /// A word of the flags is not known.
    #[error("unknown flag '{0}'")]
    Flag(String),
    /// Not a number.
    #[error("'{0}' is not a number")]
    Number(String),
    /// The link state is neither of its two words.
    #[error("'{0}' is neither 'connected' nor 'disconnected'")]
    LinkState(String),
    /// A slot or a range of slots is malformed.
    #[error(transparent)]
    Slots(#[from] SlotRangeError),
    /// A second node for a slot.
    #[error("slot {0} has an owner already")]
    DuplicateSlot(Slot),
    /// A migrating or importing slot is malformed.
    #[error("'{0}' is neither [slot->-id] nor [slot-<-id]")]
    Move(String),
    /// A variable is not known or lacks its value.
    #[error("'{0}' is not a variable with its value")]
    Variable(String),
}

impl NodesConf {
    /// Reads the text of a nodes.conf.
    ///
    /// # Errors
    /// If anything in it is malformed or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        let mut conf = Self {
            nodes: Vec::new(),
            current_epoch: 0,
            last_vote_epoch: 0,
        };
        let (mut ids, mut taken) = (BTreeSet::new(), SlotBitmap::new());
        for (at, line) in text.lines().enumerate() {
            conf.parse_line(line, &mut ids, &mut taken)
                .map_err(|error| ConfError::Line {
                    line: at + 1,
                    error,
                })?;
        }
        let myself = conf
            .nodes
            .iter()
            .filter(|node| node.flags.contains(NodeFlags::MYSELF))
            .count();
        if myself == 1 {
            Ok(conf)
        } else {
            Err(ConfError::Myself(myself))
        }
    }

    fn parse_line(
        &mut self,
        line: &str,
        ids: &mut BTreeSet<NodeId>,
        taken: &mut SlotBitmap,
    ) -> Result<(), LineError> {
        let mut fields = line.split_ascii_whitespace();
        match fields.clone().next() {
            None => Ok(()),
            Some("vars") => self.parse_variables(fields.skip(1)),
            Some(_) => {
                let node = NodeLine::parse(&mut fields)?;
                if !ids.insert(node.id) {
                    return Err(LineError::DuplicateNode(node.id));
                }
                if let Some(slot) = node.slots.intersection(taken).iter().next() {
                    return Err(LineError::DuplicateSlot(slot));
                }
                taken.extend(node.slots.iter());
                self.nodes.push(node);
                Ok(())
            }
        }
    }

    fn parse_variables<'a>(
        &mut self,
        mut fields: impl Iterator<Item = &'a str>,
    ) -> Result<(), LineError> {
        while let Some(name) = fields.next() {
            let missing = || LineError::Variable(name.to_owned());
            let value = parse_number(fields.next().ok_or_else(missing)?)?;
            match name {
                "currentEpoch" => self.current_epoch = value,
                "lastVoteEpoch" => self.last_vote_epoch = value,
                _ => return Err(missing()),
            }
        }
        Ok(())
    }
}

impl NodeLine {
    fn parse<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Result<Self, LineError> {
        let mut head = [""; 8];
        for (at, field) in head.iter_mut().enumerate() {
            *field = fields.next().ok_or(LineError::TooFewFields(at))?;
        }
        let [
            id,
            address,
            flags,
            primary,
            ping_sent,
            pong_received,
            config_epoch,
            link_state,
        ] = head;
        let address =
            Address::parse(address).ok_or_else(|| LineError::Address(address.to_owned()))?;
        let mut node = Self {
            id: parse_id(id)?,
            ip: address.ip,
            port: address.port,
            bus_port: address.bus_port,
            hostname: address.hostname.to_owned(),
            shard_id: address.shard_id,
            flags: NodeFlags::from_words(flags).map_err(|word| LineError::Flag(word.to_owned()))?,
            primary: if primary == "-" {
                None
            } else {
                Some(parse_id(primary)?)
            },
            ping_sent: parse_number(ping_sent)?,
            pong_received: parse_number(pong_received)?,
            config_epoch: parse_number(config_epoch)?,
            connected: match link_state {
                "connected" => true,
                "disconnected" => false,
                other => return Err(LineError::LinkState(other.to_owned())),
            },
            slots: Box::default(),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
        };
        fields.try_for_each(|field| node.parse_slots(field))?;
        Ok(node)
    }

    fn parse_slots(&mut self, field: &str) -> Result<(), LineError> {
        let Some(moved) = field.strip_prefix('[') else {
            self.slots.set_range(field.parse()?);
            return Ok(());
        };
        let malformed = || LineError::Move(field.to_owned());
        let moved = moved.strip_suffix(']').ok_or_else(malformed)?;
        let (moves, slot, id) = if let Some((slot, id)) = moved.split_once("->-") {
            (&mut self.migrating, slot, id)
        } else {
            let (slot, id) = moved.split_once("-<-").ok_or_else(malformed)?;
            (&mut self.importing, slot, id)
        };
        moves.insert(slot.parse::<SlotRange>()?.start(), parse_id(id)?);
        Ok(())
    }
}

/// The second field of a node's line.
struct Address<'a> {
    ip: Option<IpAddr>,
    port: u16,
    bus_port: u16,
    hostname: &'a str,
    shard_id: Option<NodeId>,
}

impl<'a> Address<'a> {
    fn parse(field: &'a str) -> Option<Self> {
        let mut parts = field.split(',');
        let (ip, ports) = parts.next()?.rsplit_once(':')?;
        // Files from before Redis 4.0 have no bus port.
        let (port, bus_port) = match ports.split_once('@') {
            Some((port, bus_port)) => (parse_port(port)?, parse_port(bus_port)?),
            None => {
                let port = parse_port(ports)?;
                (port, port.checked_add(Config::BUS_PORT_OFFSET)?)
            }
        };
        let ip = if ip.is_empty() {
            None
        } else {
            Some(ip.parse().ok()?)
        };
        let hostname = parts.next().unwrap_or_default();
        let shard_id = parts.find_map(|part| part.strip_prefix("shard-id=")?.parse().ok());
        Some(Self {
            ip,
            port,
            bus_port,
            hostname,
            shard_id,
        })
    }
}

fn parse_id(text: &str) -> Result<NodeId, LineError> {
    text.parse().map_err(|_| LineError::NodeId(text.to_owned()))
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn parse_number(text: &str) -> Result<u64, LineError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| LineError::Number(text.to_owned()))
}

/// The text of the file.
impl fmt::Display for NodesConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            writeln!(f, "{node}")?;
        }
        let Self {
            current_epoch,
            last_vote_epoch,
            ..
        } = self;
        writeln!(
            f,
            "vars currentEpoch {current_epoch} lastVoteEpoch {last_vote_epoch}"
        )
    }
}

/// The line, without its end.
impl fmt::Display for NodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{} ", self.id);
        if let Some(ip) = self.ip {
            write!(line, "{ip}")?;
        }
        write!(line, ":{}@{}", self.port, self.bus_port)?;
        if !self.hostname.is_empty() {
            write!(line, ",{}", self.hostname)?;
        }
        write!(line, " {} ", self.flags.to_words())?;
        match self.primary {
            Some(primary) => write!(line, "{primary}")?,
            None => line.push('-'),
        }
        let link = if self.connected {
            "connected"
        } else {
            "disconnected"
        };
        let Self {
            ping_sent,
            pong_received,
            config_epoch,
            ..
        } = self;
        write!(line, " {ping_sent} {pong_received} {config_epoch} {link}")?;
        for range in self.slots.ranges() {
            write!(line, " {range}")?;
        }
        write_moves(&mut line, &self.migrating, &self.importing)?;
        f.write_str(&line)
    }
}

/// ` [5->-id]` for each slot that is moved away and ` [7-<-id]` for each that comes, by slot.
fn write_moves(
    out: &mut String,
    migrating: &BTreeMap<Slot, NodeId>,
    importing: &BTreeMap<Slot, NodeId>,
) -> fmt::Result {
    let away = migrating.iter().map(|(slot, id)| (*slot, "->-", id));
    let here = importing.iter().map(|(slot, id)| (*slot, "-<-", id));
    let mut moves: Vec<_> = away.chain(here).collect();
    moves.sort_by_key(|(slot, ..)| *slot);
    moves
        .into_iter()
        .try_for_each(|(slot, arrow, id)| write!(out, " [{slot}{arrow}{id}]"))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// As Redis 7.0.15 wrote it, but for the ids.
    const STOCK: &str = "\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 127.0.0.1:7000@17000,host-0.example myself,master - 0 1795225021000 4 connected 0-5460 [8->-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb] [9000-<-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb]
bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ::1:7001@17001 master,fail? - 1795225031352 1795225030349 3 disconnected 5461-10922 16000
cccccccccccccccccccccccccccccccccccccccc :0@0 slave,noaddr bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 0 1795225022320 0 connected
vars currentEpoch 4 lastVoteEpoch 2
";

    fn error(text: &str) -> String {
        NodesConf::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_stock_file_is_read_and_written_back_as_it_was() {
        let conf = NodesConf::parse(STOCK).unwrap();
        assert_eq!((conf.current_epoch, conf.last_vote_epoch), (4, 2));
        let [a, b, c] = conf.nodes.as_slice() else {
            panic!("three nodes")
        };
        assert_eq!(a.hostname, "host-0.example");
        assert_eq!(
            (a.slots.count(), a.migrating.len(), a.importing.len()),
            (5461, 1, 1)
        );
        assert_eq!((b.ip, b.port), (Some("::1".parse().unwrap()), 7001));
        assert_eq!((c.ip, c.primary), (None, Some(b.id)));
        assert_eq!(conf.to_string(), STOCK);
    }

    #[test]
    fn fields_of_later_versions_are_read_over() {
        let (id, shard) = ("a".repeat(40), "d".repeat(40));
        let line = format!(
            "{id} 127.0.0.1:7000@17000,,tls-port=0,shard-id={shard} myself,master - 0 0 0 connected\n"
        );
        let conf = NodesConf::parse(&line).unwrap();
        assert_eq!(conf.nodes[0].hostname, "");
        assert_eq!(conf.nodes[0].shard_id, shard.parse().ok());
        assert!(!conf.to_string().contains("shard"));
    }

    #[test]
    fn old_files_without_bus_ports_are_read() {
        let line = format!(
            "{} 1.2.3.4:7000 myself,master - 0 0 0 connected",
            "a".repeat(40)
        );
        assert_eq!(NodesConf::parse(&line).unwrap().nodes[0].bus_port, 17000);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let me = format!("{a} 127.0.0.1:7000@17000 myself,master - 0 0 0 connected");
        assert_eq!(error(""), "0 lines have the flag 'myself' instead of one");
        assert_eq!(
            error(&format!("{me}\n{}", me.replace(&a, &b)))
                .split(' ')
                .next(),
            Some("2")
        );
        for (line, why) in [
            ("x", "1 fields are too few for a node"),
            (
                "x y z - 0 0 0 connected",
                "'y' is not an address (ip:port@bus-port)",
            ),
            ("x :1@2 master - 0 0 0 connected", "'x' is not a node id"),
            (
                &me.replace("127.0.0.1", "nowhere"),
                "'nowhere:7000@17000' is not an address (ip:port@bus-port)",
            ),
            (
                &me.replace("7000", "70000"),
                "'127.0.0.1:70000@170000' is not an address (ip:port@bus-port)",
            ),
            (&me.replace("master", "chief"), "unknown flag 'chief'"),
            (&me.replace(" - ", " -- "), "'--' is not a node id"),
            (
                &me.replace(" 0 connected", " -1 connected"),
                "'-1' is not a number",
            ),
            (
                &me.replace(" 0 connected", " 99999999999999999999 connected"),
                "'99999999999999999999' is not a number",
            ),
            (
                &me.replace("connected", "up"),
                "'up' is neither 'connected' nor 'disconnected'",
            ),
            (&format!("{me} 16384"), "slot 16384 is not below 16384"),
            (&format!("{me} 5-4"), "slot range 5-4 is reversed"),
            (
                &format!("{me} [5->-{b}"),
                &format!("'[5->-{b}' is neither [slot->-id] nor [slot-<-id]"),
            ),
            (&format!("{me} [5->-me]"), "'me' is not a node id"),
            (&format!("{me} [x-<-{b}]"), "'x' is not a slot number"),
            (
                &format!("{me}\n{me}"),
                &format!("a second line for node {a}"),
            ),
            (
                "vars currentEpoch",
                "'currentEpoch' is not a variable with its value",
            ),
            ("vars mood 3", "'mood' is not a variable with its value"),
            ("vars currentEpoch x", "'x' is not a number"),
        ] {
            let error = error(line);
            let (_, what) = error.split_once(": ").unwrap();
            assert_eq!(what, why, "{line}");
        }
        let twice = format!("{me} 1-3\n{b} 127.0.0.1:1@2 master - 0 0 0 connected 3");
        assert_eq!(error(&twice), "line 2: slot 3 has an owner already");
    }

    #[test]
    fn mutated_files_never_panic() {
        let mut rng = StdRng::seed_from_u64(3);
        for _ in 0..20_000 {
            let mut bytes = STOCK.as_bytes().to_vec();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..3) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, *b" -[]<>,:@\n0".get(rng.random_range(0..11)).unwrap()),
                }
            }
            if let Ok(conf) = NodesConf::parse(&String::from_utf8_lossy(&bytes)) {
                // What is taken for a file survives being written.
                assert_eq!(
                    NodesConf::parse(&conf.to_string()).unwrap().to_string(),
                    conf.to_string()
                );
            }
        }
    }
}
