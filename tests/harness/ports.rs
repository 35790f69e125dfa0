//! Free ports that parallel tests, and parallel test runs, do not fight over.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::SystemTime;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Distance from a node's client port to its bus port, as in Redis.
const BUS_OFFSET: u16 = 10_000;

/// Client ports are drawn from here. The bus ports, 10000 above, then stay below 32768, where
/// Linux takes the local ports of outgoing connections from.
const CLIENT_PORTS: std::ops::Range<u16> = 20_000..22_760;

/// A client port `p` and its bus port `p + 10000`, both free when taken and not given to any
/// other holder of a `PortPair`, in this process or another, until the value is dropped.
#[derive(Debug)]
pub struct PortPair {
    port: u16,
    /// Locked as long as the pair is held; the lock ends with the file, even if we are killed.
    _lock: File,
}

impl PortPair {
    /// Takes a free pair.
    ///
    /// # Panics
    /// If no pair is free after many tries.
    #[must_use]
    pub fn take() -> Self {
        Self::take_run(1).remove(0)
    }

    /// Takes `count` free pairs whose client ports follow each other.
    ///
    /// # Panics
    /// If there is no such run after many tries.
    #[must_use]
    pub fn take_run(count: u16) -> Vec<Self> {
        let dir = std::env::temp_dir().join("hexad-test-ports");
        fs::create_dir_all(&dir).expect("the folder of port locks can be made");
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seed = u64::from(now.subsec_nanos()) ^ u64::from(std::process::id()) << 32;
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..2_000 {
            let first = rng.random_range(CLIENT_PORTS);
            let run = (first..first + count).map_while(|port| Self::try_take(&dir, port));
            let run: Vec<_> = run.collect();
            if run.len() == usize::from(count) {
                return run;
            }
        }
        panic!("no {count} free pairs of ports in {CLIENT_PORTS:?}");
    }

    fn try_take(dir: &Path, port: u16) -> Option<Self> {
        let lock = File::create(dir.join(format!("{port}.lock"))).ok()?;
        lock.try_lock().ok()?;
        (is_free(port) && is_free(port + BUS_OFFSET)).then_some(Self { port, _lock: lock })
    }

    /// The client port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The cluster bus port.
    #[must_use]
    pub fn bus_port(&self) -> u16 {
        self.port + BUS_OFFSET
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
