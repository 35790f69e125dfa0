//! The process: its pid file, running in the background, and how many files it may open.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};

use crate::config::Settings;

/// Set in the environment of the process that [`daemonize`] starts.
const DAEMON_MARKER: &str = "HEXAD_DAEMON";

/// Files that the server itself needs, beside its clients (Redis 7.0).
const RESERVED_FILES: u64 = 32;

/// Goes into the background (`daemonize yes`). True: this is the foreground process, which has nothing more to do;
/// false: this is the daemon.
///
/// A process with threads cannot fork safely, so the daemon is this program started again with the same arguments,
/// in a session of its own and without the terminal. It reads the configuration again.
pub fn daemonize() -> io::Result<bool> {
    if std::env::var_os(DAEMON_MARKER).is_some() {
        // Fails only for a process that leads a group already; then it needs no new one.
        let _ = setsid();
        return Ok(false);
    }
    let mut args = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command
        .args(args)
        .env(DAEMON_MARKER, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(true)
}

/// Writes the process id to the pid file, if there is to be one. A failure is logged and no more, as in stock.
pub fn write_pidfile(settings: &Settings) {
    let Some(path) = settings.effective_pidfile() else {
        return;
    };
    if let Err(error) = std::fs::write(&path, format!("{}\n", std::process::id())) {
        tracing::warn!("Failed to write PID file {}: {error}", path.display());
    }
}

/// Removes the pid file, if there is to be one.
pub fn remove_pidfile(settings: &Settings) {
    let Some(path) = settings.effective_pidfile() else {
        return;
    };
    tracing::info!("Removing the pid file.");
    remove_quietly(&path);
}

/// What is not there need not be removed, and at the end of the process nobody can do anything about the rest.
fn remove_quietly(path: &Path) {
    let _ = std::fs::remove_file(path);
}

/// Makes the system allow `clients` connections beside the server's own files, raising this process's limit as far as
/// it must and may. Returns how many it allows: `clients` if all is well, else fewer.
pub fn allow_clients(clients: usize) -> usize {
    let wanted = clients as u64 + RESERVED_FILES;
    let limit = getrlimit(Resource::Nofile);
    // No limit at all is None.
    let Some(current) = limit.current.filter(|current| *current < wanted) else {
        return clients;
    };
    let reachable = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(reachable),
        maximum: limit.maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => reachable,
        Err(_) => current,
    };
    usize::try_from(allowed.saturating_sub(RESERVED_FILES))
        .unwrap_or(usize::MAX)
        .min(clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_are_always_allowed() {
        assert_eq!(allow_clients(1), 1);
        assert!(allow_clients(usize::MAX / 2) < usize::MAX / 2);
    }
}
