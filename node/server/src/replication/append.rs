//! What commands add to the stream.

use hexad_commands::{Args, Effects, Propagated};
use hexad_replication::Stream;

use super::Replication;

/// What the commands of a transaction add to the stream, until all have run.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    resp: Vec<u8>,
    /// The database of each command, and where it ends in `resp`.
    commands: Vec<(u32, usize)>,
}

impl Pending {
    /// Takes over what a command has noted.
    pub(crate) fn take(&mut self, effects: &Effects, db: usize, args: Args<'_>) {
        for propagated in effects.propagated() {
            let db = match propagated {
                Propagated::Verbatim => {
                    let args: Vec<&[u8]> = args.iter().collect();
                    let resp = hexad_replication::command_bytes(&args);
                    self.resp.extend_from_slice(&resp);
                    db
                }
                Propagated::Command { db, resp } => {
                    self.resp.extend_from_slice(resp);
                    db
                }
            };
            self.commands.push((db as u32, self.resp.len()));
        }
    }
}

impl Replication {
    /// Appends what a command has noted; gives the offset of its end if it was anything. The lock
    /// of the command's partition is held.
    #[inline]
    pub(crate) fn append(&self, effects: &Effects, db: usize, args: Args<'_>) -> Option<u64> {
        let mut propagated = effects.propagated();
        let first = propagated.next()?;
        let mut stream = self.stream();
        if propagated.len() == 0 {
            append_one(&mut stream, first, db, args);
        } else {
            let first_db = match first {
                Propagated::Verbatim => db,
                Propagated::Command { db, .. } => db,
            };
            stream.append_multi(first_db as u32);
            append_one(&mut stream, first, db, args);
            for next in propagated {
                append_one(&mut stream, next, db, args);
            }
            stream.append_exec();
        }
        Some(stream.offset())
    }

    /// Appends deletions that have nothing to do with one another: keys past their time.
    pub(crate) fn append_each(&self, effects: &Effects) {
        let mut stream = self.stream();
        for propagated in effects.propagated() {
            if let Propagated::Command { db, resp } = propagated {
                stream.append_encoded(db as u32, resp);
            }
        }
    }

    /// Appends what a transaction has added up, as one.
    pub(crate) fn append_transaction(&self, pending: &Pending) -> Option<u64> {
        let &(first_db, _) = pending.commands.first()?;
        let mut stream = self.stream();
        let several = pending.commands.len() > 1;
        if several {
            stream.append_multi(first_db);
        }
        let mut start = 0;
        for &(db, end) in &pending.commands {
            stream.append_encoded(db, &pending.resp[start..end]);
            start = end;
        }
        if several {
            stream.append_exec();
        }
        Some(stream.offset())
    }

    /// Appends a deletion of a key that this node gives up.
    pub(crate) fn append_deletion(&self, key: &[u8]) {
        self.stream().append_command(0, [&b"DEL"[..], key]);
    }
}

fn append_one(stream: &mut Stream, propagated: Propagated<'_>, db: usize, args: Args<'_>) {
    match propagated {
        Propagated::Verbatim => stream.append_command(db as u32, &args),
        Propagated::Command { db, resp } => stream.append_encoded(db as u32, resp),
    }
}
