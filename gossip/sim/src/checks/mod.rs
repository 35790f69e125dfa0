//! The checkers of INVARIANTS.md. After each step: [`step`] on the view, [`wire`] on what leaves;
//! at quiescence: [`quiescence`]. What has to survive restarts is in the [`ledger`].
//!
//! Where elections will be checked: 1 and 2 (votes) belong to [`wire()`], which sees every frame
//! and the disk behind it; 3 to 6 to [`step`], on a FAILOVER_AUTH frame or a promotion; 18 and 25
//! need replication and the clients' acknowledged writes; 23 belongs to [`quiescence`].

pub(crate) mod ledger;
pub(crate) mod quiescence;
pub(crate) mod step;

use hexad_gossip::{Admin, LinkId};
use hexad_slots::SlotBitmap;

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

/// To be called after each step: the views before and after, and the slots whose keys are dropped.
pub(crate) fn after_step(
    world: &mut World,
    host: HostId,
    cause: &Cause<'_>,
    previous: &Picture,
    dropped: &[Box<SlotBitmap>],
) {
    if let Some((invariant, what)) = step::check(world, host, cause, previous, dropped) {
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
pub(crate) fn wire(world: &mut World, host: HostId, bytes: &[u8]) {
    let Some(frame) = Frame::new(bytes) else {
        return world.violation(0, format!("{host:?} sends what is no frame"));
    };
    if let Err((invariant, what)) = world.check_sent(host, frame) {
        world.violation(invariant, format!("{host:?} sends {what}"));
    }
}

/// To be called when a node has taken a client's write.
pub(crate) fn accepted(world: &mut World, host: HostId) {
    if let Err(what) = step::check_accepted(world, host) {
        world.violation(15, format!("{host:?} takes a write: {what}"));
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
