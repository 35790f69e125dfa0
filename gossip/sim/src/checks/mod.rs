//! The checkers of INVARIANTS.md. After each step: [`step`] and [`elections`] on the view,
//! [`wire()`] on what leaves; [`data`] on what becomes of clients' writes; at quiescence:
//! [`quiescence`]. What has to survive restarts is in the [`ledger`].
//!
//! Of 18 only the second part is here, and what a winner's data may be: streams are the
//! simulator's own, so that they are kept right proves nothing of a server's.

mod data;
mod elections;
pub(crate) mod ledger;
pub(crate) mod quiescence;
pub(crate) mod step;

use hexad_gossip::{Admin, LinkId};
use hexad_slots::SlotBitmap;

pub(crate) use data::{accepted, demoted, dropping, paused, promoted, received};

use crate::network::HostId;
use crate::picture::Picture;
use crate::queue::{MS, SECOND};
use crate::wire::{Frame, flag, kind};
use crate::world::World;

/// An invariant that does not hold, by number, and what was found.
pub(crate) type Finding = (u8, String);

/// What a step was about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    /// The process started.
    Start,
    /// Time.
    Tick,
    /// A link came or went.
    Link,
    /// A frame.
    Frame {
        /// Whether the other side opened the link.
        inbound: bool,
        /// What it says; `None` if it says nothing sensible.
        frame: Option<Frame<'a>>,
        /// Whether its sender was unknown when it came.
        is_stranger: bool,
    },
    /// A command.
    Admin(&'a Admin),
    /// A change of settings.
    Config,
}

/// What a machine has put out in a step, as far as the checks look at it.
#[derive(Debug, Default)]
pub(crate) struct PutOut {
    /// The slots whose keys are dropped.
    pub dropped: Vec<SlotBitmap>,
    /// How many votes it gives.
    pub votes: u32,
    /// Whether it asks for votes.
    pub requests: bool,
    /// Whether it asks for them though its primary may be up.
    pub is_forced: bool,
}

impl PutOut {
    /// Notes a frame.
    pub(crate) fn note_frame(&mut self, bytes: &[u8]) {
        let Some(frame) = Frame::new(bytes) else {
            return;
        };
        match frame.kind() {
            kind::AUTH_ACK => self.votes += 1,
            kind::AUTH_REQUEST => {
                self.requests = true;
                self.is_forced = frame.is_forced();
            }
            _ => {}
        }
    }
}

impl<'a> Cause<'a> {
    /// A frame that arrives on a link.
    #[must_use]
    pub(crate) fn frame(inbound: bool, bytes: &'a [u8]) -> Self {
        Cause::Frame {
            inbound,
            frame: Frame::new(bytes),
            is_stranger: false,
        }
    }

    /// Whether the view is worth a look after this.
    #[must_use]
    pub(crate) fn is_rare(&self) -> bool {
        match self {
            Cause::Start | Cause::Admin(_) | Cause::Config => true,
            Cause::Tick | Cause::Link => false,
            Cause::Frame {
                frame, is_stranger, ..
            } => *is_stranger || frame.is_none_or(|frame| frame.kind() > kind::PONG),
        }
    }

    /// In words, for the transcript.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        let Cause::Frame {
            inbound,
            frame: Some(frame),
            ..
        } = self
        else {
            return format!("{self:?}");
        };
        let sender = frame
            .sender()
            .map_or_else(|| "?".to_owned(), |id| short(&id));
        let way = if *inbound { "in" } else { "out" };
        let (current, config) = (frame.current_epoch(), frame.config_epoch());
        let name = match frame.kind() {
            kind::PING => "PING",
            kind::PONG => "PONG",
            kind::MEET => "MEET",
            kind::FAIL => "FAIL",
            kind::UPDATE => "UPDATE",
            kind::AUTH_REQUEST => "AUTH_REQUEST",
            kind::AUTH_ACK => "AUTH_ACK",
            kind::MF_START => "MFSTART",
            _ => "other",
        };
        let about = frame.failed_node().or(frame.update().map(|(id, ..)| id));
        let about = about
            .map(|id| format!(" about {}", short(&id)))
            .unwrap_or_default();
        format!("{name} from {sender} ({way}bound link), epochs {current}/{config}{about}")
    }
}

/// The beginning of an id: enough to tell it.
#[must_use]
pub(crate) fn short(id: &hexad_gossip::NodeId) -> String {
    id.as_str().chars().take(6).collect()
}

/// To be called before a machine gets a frame.
pub(crate) fn before_frame(world: &mut World, host: HostId, link: LinkId, cause: &mut Cause<'_>) {
    let Cause::Frame {
        frame: Some(frame),
        is_stranger,
        ..
    } = cause
    else {
        return;
    };
    let known = world
        .view(host)
        .zip(frame.sender())
        .filter(|(view, id)| view.knows(*id));
    match known.map(|(_, sender)| sender) {
        // On a link of its own that led to another node, a machine hears nothing of what it says.
        Some(sender) if known.is_some_and(|(view, _)| view.is_misled(link, sender)) => {}
        Some(sender) => {
            let now_us = world.now_us();
            let now_ms = world.hosts[host.index()].clock.millis(now_us);
            world
                .ledger
                .record(host)
                .note_frame(*frame, sender, now_us, now_ms);
        }
        None => {
            *is_stranger = true;
            world.look_at(host);
        }
    }
}

/// To be called after each step: the views before and after, and what was put out.
pub(crate) fn after_step(
    world: &mut World,
    host: HostId,
    cause: &Cause<'_>,
    previous: &Picture,
    put_out: &PutOut,
) {
    let found = step::check(world, host, cause, previous, put_out);
    let found = found.or_else(|| elections::promotion(world, host, cause, previous).err());
    if let Some((invariant, what)) = found {
        world.violation(
            invariant,
            format!("{host:?} after {}: {what}", cause.describe()),
        );
    }
}

/// To be called when a process has read its nodes.conf.
pub(crate) fn loaded(world: &mut World, host: HostId, picture: &Picture) {
    if let Err((invariant, what)) = step::check_loaded(world, host, picture) {
        world.violation(invariant, format!("{host:?} after its restart: {what}"));
    }
}

/// To be called when a frame enters the network: the disk has to back what it says.
pub(crate) fn wire(world: &mut World, host: HostId, peer: Option<HostId>, bytes: &[u8]) {
    let Some(frame) = Frame::new(bytes) else {
        return world.violation(0, format!("{host:?} sends what is no frame"));
    };
    let checked = (world.check_election_frame(host, peer, frame))
        .and_then(|()| world.check_offset(host, frame))
        .and_then(|()| world.check_sent(host, frame));
    if let Err((invariant, what)) = checked {
        world.violation(invariant, format!("{host:?} sends {what}"));
    }
}

/// The time that a primary may go on serving in a minority: a ping goes out half a node timeout
/// after the last answer, and has a whole one to be answered. The rest is ticks and latency.
fn serving_window_us(timeout_ms: u64) -> u64 {
    timeout_ms * MS * 3 / 2 + 2 * SECOND
}

/// Whether a frame speaks for a primary.
fn is_from_primary(frame: Frame<'_>) -> bool {
    frame.flags() & flag::MASTER != 0
}
