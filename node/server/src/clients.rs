//! All connected clients, as CLIENT LIST, CLIENT KILL and the cron see them.
//!
//! A connection belongs to its worker; what others may see or do is in its [`Client`]: the worker
//! stores the figures once a batch, and a killer sets a flag and wakes the connection's task.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use hexad_commands::Command;
use parking_lot::Mutex;

use crate::config::OutputBufferLimit;

/// The shared face of one connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Unique over the life of the process, rising.
    pub(crate) id: u64,
    /// The peer: `ip:port`, or the socket's path and `:0`.
    pub(crate) addr: String,
    /// This side's end of the connection.
    pub(crate) laddr: String,
    /// File descriptor, as a number to show.
    pub(crate) fd: i32,
    /// Over a Unix socket.
    pub(crate) unix: bool,
    /// Unix time of the connection, milliseconds.
    pub(crate) created_ms: i64,
    /// The worker that serves it.
    pub(crate) worker: usize,
    /// CLIENT SETNAME.
    pub(crate) name: Mutex<Vec<u8>>,
    /// What changes with the commands that it sends.
    pub(crate) live: Live,
    killed: AtomicBool,
    waker: AtomicWaker,
}

/// Figures of a connection, written by its worker.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Unix time of the last batch, milliseconds.
    pub(crate) last_ms: AtomicI64,
    /// Index of the last command in the table, or `u32::MAX`.
    pub(crate) last_command: AtomicU32,
    /// The selected database.
    pub(crate) db: AtomicU16,
    /// Commands queued by MULTI, or -1 outside a transaction.
    pub(crate) multi: AtomicI64,
    /// Bytes of unprocessed input.
    pub(crate) query_bytes: AtomicUsize,
    /// Capacity kept for input.
    pub(crate) query_capacity: AtomicUsize,
    /// Bytes of the arguments of the last command.
    pub(crate) argv_bytes: AtomicUsize,
    /// Bytes of the commands queued by MULTI.
    pub(crate) multi_bytes: AtomicUsize,
    /// Bytes of replies that the peer has not taken yet.
    pub(crate) output_bytes: AtomicUsize,
    /// Since when `output_bytes` is above the soft limit, Unix time in milliseconds; 0: it is not.
    pub(crate) over_soft_limit_ms: AtomicI64,
    /// [`flag`]s.
    pub(crate) flags: AtomicU32,
    /// 2 or 3.
    pub(crate) resp: AtomicU8,
}

/// Bits of [`Live::flags`]; CLIENT LIST shows each as a letter.
pub(crate) mod flag {
    /// In a MULTI.
    pub(crate) const MULTI: u32 = 1;
    /// A watched key has changed.
    pub(crate) const DIRTY_CAS: u32 = 1 << 1;
    /// Closes once the replies are written.
    pub(crate) const CLOSE_AFTER_REPLY: u32 = 1 << 2;
    /// READONLY was given.
    pub(crate) const READONLY: u32 = 1 << 3;
    /// CLIENT NO-EVICT ON.
    pub(crate) const NO_EVICT: u32 = 1 << 4;
    /// Waits in a blocking command or for CLIENT UNPAUSE.
    pub(crate) const BLOCKED: u32 = 1 << 5;
    /// A replica's connection.
    pub(crate) const REPLICA: u32 = 1 << 6;
    /// The link to the primary.
    pub(crate) const PRIMARY: u32 = 1 << 7;
}

impl Client {
    /// The peer's IP address, without its port; empty over a Unix socket.
    pub(crate) fn ip(&self) -> &str {
        if self.unix {
            return "";
        }
        let host = self.addr.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Asks the connection to close; its own worker does so.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Relaxed);
        self.waker.wake();
    }

    /// Waits until [`Client::kill`] is called; for one task at a time.
    pub(crate) async fn killed(&self) {
        poll_fn(|cx| {
            self.set_waker(cx.waker());
            match self.is_killed() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Whether [`Client::kill`] was called.
    #[inline]
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }

    /// Sets how many bytes of replies the peer has not taken, and closes the connection if these
    /// are too many (`client-output-buffer-limit`): above the hard limit at once, above the soft
    /// one when that has lasted too long. Returns whether it was closed.
    pub(crate) fn note_output(&self, bytes: u64, limit: &OutputBufferLimit, now_ms: i64) -> bool {
        self.live.output_bytes.store(bytes as usize, Relaxed);
        let bytes = counted_output(bytes);
        let since = &self.live.over_soft_limit_ms;
        if limit.soft_bytes == 0 || bytes <= limit.soft_bytes {
            since.store(0, Relaxed);
        } else if since.load(Relaxed) == 0 {
            since.store(now_ms, Relaxed);
        }
        (limit.hard_bytes > 0 && bytes > limit.hard_bytes) || self.check_soft_limit(limit, now_ms)
    }

    /// Whether the output has been above the soft limit for too long.
    pub(crate) fn check_soft_limit(&self, limit: &OutputBufferLimit, now_ms: i64) -> bool {
        let since = self.live.over_soft_limit_ms.load(Relaxed);
        since != 0 && now_ms - since > limit.soft_seconds as i64 * 1000
    }

    /// Closes the connection for what [`Client::note_output`] found, and says so in the log.
    pub(crate) fn kill_for_output(&self, now_ms: i64) {
        tracing::warn!(
            "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
            String::from_utf8_lossy(&self.describe(now_ms))
        );
        self.kill();
    }

    /// Tells which task [`Client::kill`] wakes.
    pub(crate) fn set_waker(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// The name of the last command as CLIENT LIST shows it.
    fn last_command_name(&self) -> &'static str {
        Command::by_index(self.live.last_command.load(Relaxed) as usize)
            .map_or("NULL", Command::full_name)
    }

    /// The letters of CLIENT LIST's `flags=`.
    fn flag_letters(&self) -> String {
        let flags = self.live.flags.load(Relaxed);
        let letters = [
            (flag::REPLICA, 'S'),
            (flag::PRIMARY, 'M'),
            (flag::MULTI, 'x'),
            (flag::BLOCKED, 'b'),
            (flag::DIRTY_CAS, 'd'),
            (flag::CLOSE_AFTER_REPLY, 'c'),
            (flag::READONLY, 'r'),
            (flag::NO_EVICT, 'e'),
        ];
        let mut text: String = letters
            .iter()
            .filter(|(bit, _)| flags & bit != 0)
            .map(|(_, letter)| letter)
            .collect();
        if self.unix {
            text.push('U');
        }
        if text.is_empty() {
            text.push('N');
        }
        text
    }

    /// One line of CLIENT LIST, without its end of line (Redis 7.0: the same fields in the same
    /// order; `rbs` and `rbp` describe a per-client reply buffer, which hexad does not have).
    pub(crate) fn describe(&self, now_ms: i64) -> Vec<u8> {
        let live = &self.live;
        let query = live.query_bytes.load(Relaxed);
        let free = live.query_capacity.load(Relaxed).saturating_sub(query);
        let argv = live.argv_bytes.load(Relaxed);
        let multi_bytes = live.multi_bytes.load(Relaxed);
        let output = live.output_bytes.load(Relaxed);
        let total = size_of::<Self>() + query + free + argv + multi_bytes + output;
        let mut line = format!(
            "id={} addr={} laddr={} fd={} name=",
            self.id, self.addr, self.laddr, self.fd
        )
        .into_bytes();
        line.extend_from_slice(&self.name.lock());
        line.extend_from_slice(
            format!(
                " age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi={} qbuf={query} \
                 qbuf-free={free} argv-mem={argv} multi-mem={multi_bytes} rbs=0 rbp=0 \
                 obl={output} oll=0 omem={output} tot-mem={total} events={} cmd={} user=default \
                 redir=-1 resp={}",
                (now_ms - self.created_ms).max(0) / 1000,
                (now_ms - live.last_ms.load(Relaxed)).max(0) / 1000,
                self.flag_letters(),
                live.db.load(Relaxed),
                live.multi.load(Relaxed),
                if output > 0 { "rw" } else { "r" },
                self.last_command_name(),
                live.resp.load(Relaxed),
            )
            .as_bytes(),
        );
        line
    }
}

/// How much of a client's pending output `client-output-buffer-limit` looks at. (Redis 7.0: not what
/// fits into the 16 KiB that each client has anyway; beyond that the blocks of its list of replies,
/// which come to about the whole.)
pub(crate) fn counted_output(bytes: u64) -> u64 {
    const FREE_BYTES: u64 = 16 * 1024;
    if bytes <= FREE_BYTES { 0 } else { bytes }
}

/// What [`Clients::connect`] needs to know of a new connection.
#[derive(Debug)]
pub(crate) struct NewClient {
    /// The peer's address.
    pub(crate) addr: String,
    /// This side's address.
    pub(crate) laddr: String,
    /// File descriptor.
    pub(crate) fd: i32,
    /// Over a Unix socket.
    pub(crate) unix: bool,
    /// The worker that will serve it.
    pub(crate) worker: usize,
    /// Unix time, milliseconds.
    pub(crate) now_ms: i64,
}

/// The registry of connections.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
}

impl Clients {
    /// Registers a connection under a fresh id.
    pub(crate) fn connect(&self, new: NewClient) -> Arc<Client> {
        let live = Live::default();
        live.last_ms.store(new.now_ms, Relaxed);
        live.last_command.store(u32::MAX, Relaxed);
        live.multi.store(-1, Relaxed);
        live.resp.store(2, Relaxed);
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Relaxed) + 1,
            addr: new.addr,
            laddr: new.laddr,
            fd: new.fd,
            unix: new.unix,
            created_ms: new.now_ms,
            worker: new.worker,
            name: Mutex::default(),
            live,
            killed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        self.by_id.lock().insert(client.id, client.clone());
        client
    }

    /// Forgets a connection that has closed.
    pub(crate) fn disconnect(&self, id: u64) {
        self.by_id.lock().remove(&id);
    }

    /// All connections, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.by_id.lock().values().cloned().collect()
    }

    /// One connection.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.lock().get(&id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_is_connected() {
        let clients = Clients::default();
        let new = |fd| NewClient {
            addr: "127.0.0.1:5".into(),
            laddr: "127.0.0.1:6379".into(),
            fd,
            unix: false,
            worker: 0,
            now_ms: 1_000,
        };
        let first = clients.connect(new(8));
        let second = clients.connect(new(9));
        assert_eq!((first.id, second.id, clients.all().len()), (1, 2, 2));
        let line = String::from_utf8(first.describe(4_500)).expect("ascii");
        assert!(line.starts_with("id=1 addr=127.0.0.1:5 laddr=127.0.0.1:6379 fd=8 name= age=3 "));
        assert!(
            line.contains(" flags=N db=0 ") && line.contains(" multi=-1 "),
            "{line}"
        );
        assert!(
            line.ends_with(" cmd=NULL user=default redir=-1 resp=2"),
            "{line}"
        );
        clients.disconnect(1);
        clients.disconnect(1);
        assert_eq!(clients.all().len(), 1);
        assert!(clients.get(1).is_none() && clients.get(2).is_some());
        second.kill();
        assert!(second.is_killed());
    }
}
