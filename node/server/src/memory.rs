//! How much memory the process uses, for INFO and MEMORY.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::{Config, Id, Value};
use crate::server::Server;

/// Memory allocated when the process was ready to serve, bytes.
static STARTUP: AtomicU64 = AtomicU64::new(0);

/// Figures of one moment, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// What the program has allocated (`used_memory`).
    pub(crate) allocated: u64,
    /// Pages that allocations lie in.
    pub(crate) active: u64,
    /// Pages that the allocator holds.
    pub(crate) resident: u64,
    /// Pages of the process in memory.
    pub(crate) rss: u64,
    /// The most that `allocated` has been.
    pub(crate) peak: u64,
    /// `allocated` when the process became ready.
    pub(crate) startup: u64,
    /// Input and output buffers of clients.
    pub(crate) clients: u64,
    /// All that is no key or value.
    pub(crate) overhead: u64,
    /// Memory of the machine.
    pub(crate) system: u64,
}

impl Usage {
    /// Memory of keys and values.
    pub(crate) fn dataset(&self) -> u64 {
        self.allocated.saturating_sub(self.overhead)
    }
}

/// What the allocator has handed out, bytes.
pub(crate) fn allocated() -> u64 {
    // The figures are those of the last epoch; both calls fail only if the allocator was built
    // without statistics.
    let _ = tikv_jemalloc_ctl::epoch::advance();
    tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0) as u64
}

/// Lets the allocator give free pages back from a thread of its own (`jemalloc-bg-thread`).
pub(crate) fn return_free_pages(config: &Config) {
    let wanted = matches!(config.value(Id::JemallocBgThread), Value::Bool(true));
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(wanted) {
        tracing::warn!("Free memory is given back by the workers, without a thread: {error}");
    }
}

/// Notes the memory in use before the first client.
pub(crate) fn note_startup() {
    STARTUP.store(allocated(), Relaxed);
}

/// Measures.
pub(crate) fn usage(server: &Server) -> Usage {
    use tikv_jemalloc_ctl::stats;
    let allocated = allocated();
    let clients: usize = server
        .clients
        .all()
        .iter()
        .map(|client| {
            let live = &client.live;
            size_of_val(&**client)
                + live.query_capacity.load(Relaxed)
                + live.multi_bytes.load(Relaxed)
                + live.output_bytes.load(Relaxed)
        })
        .sum();
    let startup = STARTUP.load(Relaxed);
    Usage {
        allocated,
        active: stats::active::read().unwrap_or(0) as u64,
        resident: stats::resident::read().unwrap_or(0) as u64,
        rss: rss(),
        peak: server.samples.note_memory(allocated),
        startup,
        clients: clients as u64,
        overhead: startup + clients as u64 + server.keyspace.table_bytes(),
        system: system(),
    }
}

/// Pages of this process in memory, bytes.
fn rss() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Memory of the machine, bytes.
fn system() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram as u64 * u64::from(info.mem_unit)
}

/// Bytes for human eyes, as INFO writes them: `1.56M`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    #[test]
    fn human_sizes_are_those_of_redis() {
        let cases = [
            (0, "0B"),
            (200, "200B"),
            (66_560, "65.00K"),
            (1_640_376, "1.56M"),
            (25_274_793_984, "23.54G"),
        ];
        for (bytes, text) in cases {
            assert_eq!(super::human(bytes), text);
        }
    }
}
