//! CLUSTER: its subcommands, read from their arguments and answered as Redis 7.0 does.
//!
//! What only shows the cluster is answered by the worker itself, from its [`View`]. What changes
//! it, or counts what changes too often for a view, becomes an [`Ask`] for the cluster thread.
//! The error texts are those of Redis 7.0, and so is the order of the checks where two errors are
//! due at once; the state machine makes those checks that depend on more than the arguments.

use std::net::IpAddr;

use hexad_gossip::{Admin, Config, FailoverMode, NodeFlags, NodeId, NodeView, SetSlot, View};
use hexad_resp::{Args, Reply, parse_i64};
use hexad_slots::{Slot, SlotBitmap, SlotRange};

use super::replies;

/// What a command needs to know of this node besides the cluster.
pub trait Facts {
    /// Whether no database holds a key.
    fn dataset_is_empty(&self) -> bool;
    /// How many keys a slot holds here.
    fn keys_in_slot(&self, slot: Slot) -> usize;
    /// Visits up to `limit` keys of a slot.
    fn visit_keys(&self, slot: Slot, limit: usize, visit: &mut dyn FnMut(&[u8]));
    /// Whether the client that asks uses TLS, and so is shown TLS ports.
    fn client_uses_tls(&self) -> bool {
        false
    }
}

/// A command for the cluster thread; [`super::ClusterHandle::ask`] has it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A change.
    Admin(Admin),
    /// CLUSTER INFO.
    Info,
    /// CLUSTER LINKS.
    Links,
    /// CLUSTER COUNT-FAILURE-REPORTS.
    FailureReports(NodeId),
}

/// What [`execute`] made of a command.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a command for the cluster thread is not answered yet"]
pub enum Outcome {
    /// The reply is written.
    Answered,
    /// The cluster thread has to answer.
    Ask(Box<Ask>),
}

/// Executes `CLUSTER <subcommand> …` on a worker; `args[0]` is `CLUSTER`.
pub fn execute(args: &Args<'_>, view: &View, facts: &dyn Facts, reply: &mut Reply) -> Outcome {
    let mut call = Call {
        args: *args,
        view,
        facts,
        reply,
    };
    match call.run() {
        Ok(outcome) => outcome,
        Err(error) => {
            reply.error_bytes(&error);
            Outcome::Answered
        }
    }
}

/// The whole text of an error reply; it may quote a client's bytes.
type ErrorText = Vec<u8>;
type Result<T> = std::result::Result<T, ErrorText>;

struct Call<'a> {
    args: Args<'a>,
    view: &'a View,
    facts: &'a dyn Facts,
    reply: &'a mut Reply,
}

/// A subcommand: its name, its arity as in COMMAND (negative: at least that many arguments,
/// `CLUSTER` and the name included), and what it does.
type Subcommand = (&'static str, isize, fn(&mut Call<'_>) -> Result<Outcome>);

const SUBCOMMANDS: [Subcommand; 27] = [
    ("addslots", -3, |call| call.assign_slots(Assignment::Add)),
    ("addslotsrange", -4, |call| {
        call.assign_ranges(Assignment::Add)
    }),
    ("bumpepoch", 2, |_| admin(Admin::BumpEpoch)),
    ("count-failure-reports", 3, |call| {
        ask(Ask::FailureReports(call.node_id(2)?))
    }),
    ("countkeysinslot", 3, |call| call.count_keys_in_slot()),
    ("delslots", -3, |call| call.assign_slots(Assignment::Delete)),
    ("delslotsrange", -4, |call| {
        call.assign_ranges(Assignment::Delete)
    }),
    ("failover", -2, |call| call.failover()),
    ("flushslots", 2, |call| call.flush_slots()),
    ("forget", 3, |call| admin(Admin::Forget(call.node_id(2)?))),
    ("getkeysinslot", 4, |call| call.get_keys_in_slot()),
    ("help", 2, |call| call.help()),
    ("info", 2, |_| ask(Ask::Info)),
    ("keyslot", 3, |call| call.key_slot()),
    ("links", 2, |_| ask(Ask::Links)),
    ("meet", -4, |call| call.meet()),
    ("myid", 2, |call| {
        call.answer(|call| call.reply.bulk(call.view.myself().id.as_bytes()))
    }),
    ("nodes", 2, |call| call.nodes()),
    ("replicas", 3, |call| call.replicas()),
    ("replicate", 3, |call| call.replicate()),
    ("reset", -2, |call| call.reset()),
    ("saveconfig", 2, |_| admin(Admin::SaveConfig)),
    ("set-config-epoch", 3, |call| call.set_config_epoch()),
    ("setslot", -4, |call| call.set_slot()),
    ("shards", 2, |call| {
        call.answer(|call| replies::shards(call.view, call.reply))
    }),
    ("slaves", 3, |call| call.replicas()),
    ("slots", 2, |call| call.slots()),
];

/// CLUSTER HELP: a syntax line, then what it does.
const HELP: [(&str, &str); 26] = [
    (
        "ADDSLOTS <slot> [<slot> ...]",
        "Take unassigned slots for this node.",
    ),
    (
        "ADDSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
        "Take unassigned runs of slots for this node; both ends belong to a run.",
    ),
    (
        "BUMPEPOCH",
        "Raise this node's config epoch above all others, if it is not there yet.",
    ),
    (
        "COUNT-FAILURE-REPORTS <node-id>",
        "Count the nodes that report <node-id> as failing.",
    ),
    (
        "COUNTKEYSINSLOT <slot>",
        "Count the keys that this node holds in <slot>.",
    ),
    (
        "DELSLOTS <slot> [<slot> ...]",
        "Forget who owns these slots.",
    ),
    (
        "DELSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
        "Forget who owns these runs of slots.",
    ),
    (
        "FAILOVER [FORCE|TAKEOVER]",
        "Make this replica the primary of its shard.",
    ),
    (
        "FLUSHSLOTS",
        "Give up all slots of this node; it must hold no keys.",
    ),
    ("FORGET <node-id>", "Remove a node from this node's table."),
    (
        "GETKEYSINSLOT <slot> <count>",
        "List up to <count> keys that this node holds in <slot>.",
    ),
    (
        "INFO",
        "Show the state of the cluster and the counters of its bus.",
    ),
    ("KEYSLOT <key>", "Show the slot of <key>."),
    (
        "LINKS",
        "List the bus connections between this node and the others.",
    ),
    (
        "MEET <ip> <port> [<bus-port>]",
        "Join the cluster of the node at this address.",
    ),
    ("MYID", "Show the id of this node."),
    (
        "NODES",
        "List all known nodes, one a line, in the format of nodes.conf.",
    ),
    (
        "REPLICAS <node-id>",
        "List the replicas of a primary, in the format of NODES.",
    ),
    (
        "REPLICATE <node-id>",
        "Make this node a replica of a primary.",
    ),
    (
        "RESET [HARD|SOFT]",
        "Forget all other nodes and all slots; HARD: take a new id, too.",
    ),
    ("SAVECONFIG", "Write nodes.conf now."),
    (
        "SET-CONFIG-EPOCH <epoch>",
        "Set the config epoch of a node that knows no other node yet.",
    ),
    (
        "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)",
        "Begin, end or undo the move of a slot.",
    ),
    (
        "SHARDS",
        "List each primary's slots and the nodes of its shard.",
    ),
    (
        "SLOTS",
        "List the runs of slots, each with its primary and replicas.",
    ),
    ("HELP", "Show this text."),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Assignment {
    Add,
    Delete,
}

fn ask(ask: Ask) -> Result<Outcome> {
    Ok(Outcome::Ask(Box::new(ask)))
}

fn admin(admin: Admin) -> Result<Outcome> {
    ask(Ask::Admin(admin))
}

fn fail<T>(text: &str) -> Result<T> {
    Err(format!("ERR {text}").into_bytes())
}

impl<'a> Call<'a> {
    fn run(&mut self) -> Result<Outcome> {
        let name = self.args.get(1).unwrap_or_default();
        let Some((name, arity, run)) = SUBCOMMANDS
            .iter()
            .find(|(known, ..)| name.eq_ignore_ascii_case(known.as_bytes()))
        else {
            return Err(self.unknown_subcommand());
        };
        let given = self.args.len();
        let fits = if *arity < 0 {
            given >= arity.unsigned_abs()
        } else {
            given == *arity as usize
        };
        if !fits {
            return wrong_arity(name);
        }
        run(self)
    }

    fn answer(&mut self, write: impl FnOnce(&mut Self)) -> Result<Outcome> {
        write(self);
        Ok(Outcome::Answered)
    }

    // ---- what a worker answers itself

    fn nodes(&mut self) -> Result<Outcome> {
        let text = self.view.nodes_text(self.facts.client_uses_tls());
        self.answer(|call| call.reply.verbatim("txt", text.as_bytes()))
    }

    fn slots(&mut self) -> Result<Outcome> {
        self.answer(|call| replies::slots(call.view, call.facts.client_uses_tls(), call.reply))
    }

    fn key_slot(&mut self) -> Result<Outcome> {
        let slot = Slot::of_key(&self.args[2]);
        self.answer(|call| call.reply.integer(slot.get().into()))
    }

    fn replicas(&mut self) -> Result<Outcome> {
        let node = self.known_node(2)?;
        if !node.flags.contains(NodeFlags::PRIMARY) {
            return fail("The specified node is not a master");
        }
        let tls = self.facts.client_uses_tls();
        self.answer(|call| replies::replicas(call.view, node, tls, call.reply))
    }

    fn count_keys_in_slot(&mut self) -> Result<Outcome> {
        let Some(slot) = slot_of_number(self.integer(2)?) else {
            return fail("Invalid slot");
        };
        let count = self.facts.keys_in_slot(slot);
        self.answer(|call| call.reply.integer(count as i64))
    }

    fn get_keys_in_slot(&mut self) -> Result<Outcome> {
        let (slot, limit) = (self.integer(2)?, self.integer(3)?);
        let (Some(slot), Ok(limit)) = (slot_of_number(slot), usize::try_from(limit)) else {
            return fail("Invalid slot or number of keys");
        };
        let begin = self.reply.begin_deferred();
        let mut count = 0;
        let reply = &mut *self.reply;
        self.facts.visit_keys(slot, limit, &mut |key| {
            reply.bulk(key);
            count += 1;
        });
        self.answer(|call| call.reply.set_deferred_array(begin, count))
    }

    fn help(&mut self) -> Result<Outcome> {
        let reply = &mut *self.reply;
        reply.array(1 + 2 * HELP.len());
        reply.simple("CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
        for (syntax, meaning) in HELP {
            reply.simple(syntax);
            reply.simple(&format!("    {meaning}"));
        }
        Ok(Outcome::Answered)
    }

    // ---- what the cluster thread does

    fn meet(&mut self) -> Result<Outcome> {
        if self.args.len() > 5 {
            return Err(self.wrong_subcommand_arity());
        }
        let (ip, port) = (&self.args[2], &self.args[3]);
        let Some(port_number) = parse_i64(port) else {
            return Err(quoting("Invalid TCP base port specified: ", &[port]));
        };
        let bus_port_number = match self.args.get(4) {
            None => port_number.saturating_add(Config::BUS_PORT_OFFSET.into()),
            Some(bus_port) => parse_i64(bus_port)
                .ok_or_else(|| quoting("Invalid TCP bus port specified: ", &[bus_port]))?,
        };
        let address = || {
            let ip: IpAddr = std::str::from_utf8(ip).ok()?.parse().ok()?;
            Some((
                ip,
                port_of_number(port_number)?,
                port_of_number(bus_port_number)?,
            ))
        };
        let Some((ip, port, bus_port)) = address() else {
            return Err(quoting(
                "Invalid node address specified: ",
                &[ip, b":", port],
            ));
        };
        admin(Admin::Meet { ip, port, bus_port })
    }

    fn assign_slots(&mut self, assignment: Assignment) -> Result<Outcome> {
        let slots = self
            .args
            .slice(2)
            .iter()
            .map(slot)
            .collect::<Result<Vec<_>>>()?;
        let mut set = Box::<SlotBitmap>::default();
        slots
            .into_iter()
            .try_for_each(|slot| self.add_to(&mut set, slot, assignment))?;
        assignment.of(set)
    }

    fn assign_ranges(&mut self, assignment: Assignment) -> Result<Outcome> {
        if !self.args.len().is_multiple_of(2) {
            return wrong_arity(match assignment {
                Assignment::Add => "addslotsrange",
                Assignment::Delete => "delslotsrange",
            });
        }
        let mut set = Box::<SlotBitmap>::default();
        for at in (2..self.args.len()).step_by(2) {
            let (start, end) = (slot(&self.args[at])?, slot(&self.args[at + 1])?);
            let Some(range) = SlotRange::new(start, end) else {
                return fail(&format!(
                    "start slot number {start} is greater than end slot number {end}"
                ));
            };
            range
                .iter()
                .try_for_each(|slot| self.add_to(&mut set, slot, assignment))?;
        }
        assignment.of(set)
    }

    /// Adds a slot that the command names, with the checks that Redis makes slot by slot, so that
    /// of several errors the same one is reported. The state machine checks again.
    fn add_to(&self, set: &mut SlotBitmap, slot: Slot, assignment: Assignment) -> Result<()> {
        match (assignment, self.view.owner(slot)) {
            (Assignment::Add, Some(_)) => fail(&format!("Slot {slot} is already busy")),
            (Assignment::Delete, None) => fail(&format!("Slot {slot} is already unassigned")),
            _ if !set.set(slot) => fail(&format!("Slot {slot} specified multiple times")),
            _ => Ok(()),
        }
    }

    fn flush_slots(&mut self) -> Result<Outcome> {
        admin(Admin::FlushSlots {
            dataset_empty: self.facts.dataset_is_empty(),
        })
    }

    fn set_slot(&mut self) -> Result<Outcome> {
        if self.view.myself().flags.contains(NodeFlags::REPLICA) {
            return fail("Please use SETSLOT only with masters.");
        }
        let slot = slot(&self.args[2])?;
        let owned = self
            .view
            .owner(slot)
            .is_some_and(|owner| owner.id == self.view.myself().id);
        let unknown = |at| Err(quoting("I don't know about node ", &[&self.args[at]]));
        let action = match (&self.args[3], self.args.len()) {
            (action, 4) if is_word(action, "stable") => SetSlot::Stable,
            (action, 5) if is_word(action, "migrating") => match parse_id(&self.args[4]) {
                Some(id) => SetSlot::Migrating(id),
                None if owned => return unknown(4),
                None => return fail(&format!("I'm not the owner of hash slot {slot}")),
            },
            (action, 5) if is_word(action, "importing") => match parse_id(&self.args[4]) {
                Some(id) => SetSlot::Importing(id),
                None if owned => {
                    return fail(&format!("I'm already the owner of hash slot {slot}"));
                }
                None => return unknown(4),
            },
            (action, 5) if is_word(action, "node") => SetSlot::Node(self.node_id(4)?),
            _ => {
                return fail(
                    "Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
                );
            }
        };
        let keys_in_slot = self.facts.keys_in_slot(slot);
        admin(Admin::SetSlot {
            slot,
            action,
            keys_in_slot,
        })
    }

    fn replicate(&mut self) -> Result<Outcome> {
        let primary = self.node_id(2)?;
        admin(Admin::Replicate {
            primary,
            dataset_empty: self.facts.dataset_is_empty(),
        })
    }

    fn reset(&mut self) -> Result<Outcome> {
        let hard = match self.args.get(2) {
            None => false,
            Some(_) if self.args.len() > 3 => return Err(self.wrong_subcommand_arity()),
            Some(how) if is_word(how, "hard") => true,
            Some(how) if is_word(how, "soft") => false,
            Some(_) => return fail("syntax error"),
        };
        admin(Admin::Reset {
            hard,
            dataset_empty: self.facts.dataset_is_empty(),
        })
    }

    fn failover(&mut self) -> Result<Outcome> {
        admin(Admin::Failover(match self.args.get(2) {
            None => FailoverMode::Plain,
            Some(_) if self.args.len() > 3 => return Err(self.wrong_subcommand_arity()),
            Some(how) if is_word(how, "force") => FailoverMode::Force,
            Some(how) if is_word(how, "takeover") => FailoverMode::Takeover,
            Some(_) => return fail("syntax error"),
        }))
    }

    fn set_config_epoch(&mut self) -> Result<Outcome> {
        let number = self.integer(2)?;
        match u64::try_from(number) {
            Ok(epoch) => admin(Admin::SetConfigEpoch(epoch)),
            Err(_) => fail(&format!("Invalid config epoch specified: {number}")),
        }
    }

    // ---- arguments

    fn integer(&self, at: usize) -> Result<i64> {
        parse_i64(&self.args[at])
            .ok_or_else(|| b"ERR value is not an integer or out of range".to_vec())
    }

    fn node_id(&self, at: usize) -> Result<NodeId> {
        parse_id(&self.args[at]).ok_or_else(|| unknown_node(&self.args[at]))
    }

    fn known_node(&self, at: usize) -> Result<&'a NodeView> {
        self.view
            .node(&self.node_id(at)?)
            .ok_or_else(|| unknown_node(&self.args[at]))
    }

    fn unknown_subcommand(&self) -> ErrorText {
        let name = self.args.get(1).unwrap_or_default();
        // Redis 7.0 quotes no more than this.
        let name = &name[..name.len().min(128)];
        quoting("unknown subcommand '", &[name, b"'. Try CLUSTER HELP."])
    }

    fn wrong_subcommand_arity(&self) -> ErrorText {
        quoting(
            "unknown subcommand or wrong number of arguments for '",
            &[&self.args[1], b"'. Try CLUSTER HELP."],
        )
    }
}

impl Assignment {
    fn of(self, slots: Box<SlotBitmap>) -> Result<Outcome> {
        admin(match self {
            Self::Add => Admin::AddSlots(slots),
            Self::Delete => Admin::DelSlots(slots),
        })
    }
}

/// The error about a node that is not in the table.
pub(super) fn unknown_node(name: &[u8]) -> ErrorText {
    quoting("Unknown node ", &[name])
}

fn wrong_arity<T>(subcommand: &str) -> Result<T> {
    fail(&format!(
        "wrong number of arguments for 'cluster|{subcommand}' command"
    ))
}

/// An error text that ends in what a client sent. As with the C strings of Redis, what follows a
/// zero byte is left out.
fn quoting(text: &str, quoted: &[&[u8]]) -> ErrorText {
    let mut error = format!("ERR {text}").into_bytes();
    for part in quoted {
        let end = part
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(part.len());
        error.extend_from_slice(&part[..end]);
    }
    error
}

fn is_word(given: &[u8], word: &str) -> bool {
    given.eq_ignore_ascii_case(word.as_bytes())
}

fn parse_id(text: &[u8]) -> Option<NodeId> {
    NodeId::from_bytes(text.try_into().ok()?).ok()
}

fn slot(text: &[u8]) -> Result<Slot> {
    match parse_i64(text).and_then(slot_of_number) {
        Some(slot) => Ok(slot),
        None => fail("Invalid or out of range slot"),
    }
}

fn slot_of_number(number: i64) -> Option<Slot> {
    u16::try_from(number).ok().and_then(Slot::new)
}

fn port_of_number(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|&port| port != 0)
}
