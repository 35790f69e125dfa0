//! Manual failovers: CLUSTER FAILOVER on a replica.
//!
//! A plain one loses no write. Its steps, by who takes them:
//!
//! ```text
//! replica  MFSTART ─────────────────────────►  primary
//!                                              pauses its clients; once no write is under way:
//!          ◄──── heartbeats with PAUSED and the offset
//! replica  once its own offset is there: an election, with FORCE_ACK
//!          PONG with the slots ─────────────►  primary: a replica from now on
//! ```
//!
//! The primary announces its offset only when the driver has reported that writes rest
//! ([`crate::Input::WritesPaused`]): an offset from before would leave out what other threads
//! still write. Each side gives up after [`MF_TIMEOUT_MS`]. The replica's time begins first, so it
//! gives up before the primary takes writes again.

use super::Cluster;
use super::admin::AdminError;
use crate::frame::{FrameType, Header, MessageFlags};
use crate::node::{ME, NodeIx};
use crate::{FailoverMode, LogLevel, Millis, NodeFlags, Output};

/// So long a manual failover may take.
const MF_TIMEOUT_MS: u64 = 5000;

/// The pause is set to end after so many times that, should the machine not end it.
const MF_PAUSE_MULT: u64 = 2;

/// The manual failover in progress, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manual {
    /// There is none.
    #[default]
    Off,
    /// This replica takes its primary's place.
    Replica {
        /// When it is given up.
        end: Millis,
        stage: Stage,
    },
    /// This primary lets a replica take its place.
    Primary {
        end: Millis,
        replica: NodeIx,
        /// What names the pause of the clients' writes.
        until_ms: Millis,
        /// Whether no write is under way any more.
        paused: bool,
    },
}

/// How far the replica's side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The primary has not told its last offset yet.
    Asked,
    /// This much has to be replicated.
    CatchingUp { offset: u64 },
    /// The election may start.
    Ready,
}

impl Manual {
    /// Whether a replica's election may start without its primary having failed.
    pub(super) fn may_start(self) -> bool {
        matches!(
            self,
            Self::Replica {
                stage: Stage::Ready,
                ..
            }
        )
    }

    /// The replica that waits for this primary's offset, once that stands.
    fn paused_for(self) -> Option<NodeIx> {
        match self {
            Self::Primary {
                replica,
                paused: true,
                ..
            } => Some(replica),
            _ => None,
        }
    }

    /// What the frames of this node say of it.
    pub(super) fn message_flags(self, kind: FrameType) -> MessageFlags {
        let mut flags = MessageFlags::empty();
        flags.set(MessageFlags::PAUSED, self.paused_for().is_some());
        let asks = kind == FrameType::FailoverAuthRequest && self.may_start();
        flags.set(MessageFlags::FORCE_ACK, asks);
        flags
    }
}

impl Cluster {
    /// CLUSTER FAILOVER.
    pub(super) fn fail_over(&mut self, mode: FailoverMode) -> Result<(), AdminError> {
        if self.am_primary() {
            return Err(AdminError::FailoverOnPrimary);
        }
        let primary = self.nodes[ME].primary.ok_or(AdminError::FailoverOfNobody)?;
        let node = &self.nodes[primary];
        let link = node.link.filter(|&link| self.is_up(link));
        let is_down = node.is(NodeFlags::FAIL) || link.is_none();
        if is_down && mode == FailoverMode::Plain {
            return Err(AdminError::FailoverOfFailed);
        }
        self.end_manual_failover();
        self.hasten_election();
        let stage = match (mode, link) {
            (FailoverMode::Takeover, _) => {
                self.take_over(primary);
                return Ok(());
            }
            (FailoverMode::Plain, Some(link)) => {
                self.log(LogLevel::Warning, "Manual failover user request accepted.");
                self.send_bare(FrameType::ManualFailoverStart, link);
                Stage::Asked
            }
            _ => {
                self.log(LogLevel::Warning, "Forced failover user request accepted.");
                Stage::Ready
            }
        };
        self.manual = Manual::Replica {
            end: self.now + MF_TIMEOUT_MS,
            stage,
        };
        self.seek_promotion();
        Ok(())
    }

    /// TAKEOVER: nobody is asked, so the epoch has to be a new one for the others to believe it.
    fn take_over(&mut self, primary: NodeIx) {
        self.log(LogLevel::Warning, "Taking over the master (user request).");
        let epoch = self.take_new_epoch();
        self.log(LogLevel::Warning, format!("New configEpoch set to {epoch}"));
        self.replace_primary(primary);
    }

    /// An MFSTART: one of this primary's replicas wants its place.
    pub(super) fn on_manual_failover_start(&mut self, sender: NodeIx) {
        if !self.am_primary() || self.nodes[sender].primary != Some(ME) {
            return;
        }
        let until_ms = self.now + MF_TIMEOUT_MS * MF_PAUSE_MULT;
        self.manual = Manual::Primary {
            end: self.now + MF_TIMEOUT_MS,
            replica: sender,
            until_ms,
            paused: false,
        };
        let id = self.nodes[sender].id;
        let text = format!("Manual failover requested by replica {id}.");
        self.log(LogLevel::Warning, text);
        self.staged.push(Output::PauseWrites { until_ms });
    }

    /// See [`crate::Input::WritesPaused`].
    pub(super) fn on_writes_paused(&mut self, which_ms: Millis, offset: u64) {
        let Manual::Primary {
            until_ms,
            paused: paused @ false,
            ..
        } = &mut self.manual
        else {
            return;
        };
        if *until_ms != which_ms {
            return;
        }
        *paused = true;
        self.note_own_offset(offset);
        self.hurry_manual_failover();
    }

    /// Tells the replica without end how far it has to come.
    pub(super) fn hurry_manual_failover(&mut self) {
        let Some(replica) = self.manual.paused_for() else {
            return;
        };
        let node = &mut self.nodes[replica];
        if let Some(link) = node.link.filter(|&link| self.links.is_up(link)) {
            if node.ping_sent == 0 {
                node.ping_sent = self.now;
            }
            self.send_heartbeat(FrameType::Ping, link, Some(replica));
        }
    }

    /// What a frame of this replica's primary says of its pause.
    pub(super) fn see_pause(&mut self, sender: NodeIx, header: &Header) {
        let Manual::Replica {
            stage: stage @ Stage::Asked,
            ..
        } = &mut self.manual
        else {
            return;
        };
        let is_paused = header.message_flags.contains(MessageFlags::PAUSED);
        if !is_paused || self.nodes[ME].primary != Some(sender) {
            return;
        }
        let offset = header.repl_offset;
        *stage = Stage::CatchingUp { offset };
        let text =
            format!("Received replication offset for paused master manual failover: {offset}");
        self.log(LogLevel::Warning, text);
        self.drive_manual_failover();
    }

    /// Gives up what takes too long, and lets the election start once all data is here.
    pub(super) fn drive_manual_failover(&mut self) {
        match self.manual {
            Manual::Replica { end, .. } | Manual::Primary { end, .. } if end < self.now => {
                self.log(LogLevel::Warning, "Manual failover timed out.");
                self.end_manual_failover();
            }
            Manual::Replica {
                end,
                stage: Stage::CatchingUp { offset },
            } if self.is_in_sync() && self.own_offset() >= offset => {
                self.manual = Manual::Replica {
                    end,
                    stage: Stage::Ready,
                };
                let text = "All master replication stream processed, manual failover can start.";
                self.log(LogLevel::Warning, text);
                self.seek_promotion();
            }
            _ => {}
        }
    }

    /// Ends the manual failover, however it went.
    pub(super) fn end_manual_failover(&mut self) {
        let ended = std::mem::take(&mut self.manual);
        if matches!(ended, Manual::Primary { .. }) {
            self.staged.push(Output::ResumeWrites);
        }
    }

    /// A node is forgotten.
    pub(super) fn end_manual_failover_of(&mut self, at: NodeIx) {
        if matches!(self.manual, Manual::Primary { replica, .. } if replica == at) {
            self.end_manual_failover();
        }
    }
}
