//! CONFIG: reads and changes the configuration of the running process.

use hexad_commands::Args;

use crate::config::{Config, Id, SetContext, SetError};
use crate::endpoint::Address;
use crate::listener::os_text;
use crate::server::Server;
use crate::session::{Flow, Session};
use crate::worker::Worker;
use crate::{log, memory, process};

/// CONFIG GET pattern ….
pub(super) fn get(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    let patterns: Vec<&[u8]> = args.slice(2).iter().collect();
    let found = session.server.config.load().get(&patterns);
    worker.reply.map(found.len());
    for (name, value) in found {
        worker.reply.bulk(name.as_bytes());
        worker.reply.bulk(&value);
    }
    Flow::Next
}

/// CONFIG SET name value …: all of them or none.
pub(super) fn set(session: &Session, worker: &mut Worker, args: Args<'_>) -> Flow {
    if !args.len().is_multiple_of(2) {
        let text = "ERR wrong number of arguments for 'config|set' command";
        return super::error(worker, text);
    }
    let values: Vec<&[u8]> = args.slice(2).iter().collect();
    let pairs: Vec<(&[u8], &[u8])> = values.chunks_exact(2).map(|two| (two[0], two[1])).collect();
    let server = session.server;
    let context = SetContext {
        client_is_local: session.client.is_local(),
        loading: false,
    };
    let _changing = server.config_change.lock();
    let result = server
        .config
        .load()
        .set(&pairs, context)
        .and_then(|(config, changed)| apply(server, config, &changed));
    match result {
        Ok(()) => worker.reply.ok(),
        Err(error) => worker.reply.error(&error.to_string()),
    }
    // The commands behind this one in the pipeline see the new values.
    worker.refresh();
    Flow::Next
}

/// Carries out what a changed directive means beyond its value, then publishes the configuration.
fn apply(server: &'static Server, config: Config, changed: &[Id]) -> Result<(), SetError> {
    for id in changed {
        match id {
            Id::Loglevel => log::set_level(config.loglevel),
            Id::JemallocBgThread => memory::return_free_pages(&config),
            Id::Dir => std::env::set_current_dir(&config.dir)
                .map_err(|error| SetError::refused("dir", os_text(&error)))?,
            Id::Maxclients => allow_clients(config.maxclients)?,
            Id::Port => move_endpoint(
                server,
                &config,
                "port",
                "Unable to listen on this port. Check server logs.",
            )?,
            Id::Bind if !changed.contains(&Id::Port) => move_endpoint(
                server,
                &config,
                "bind",
                "Failed to bind to specified addresses.",
            )?,
            _ => {}
        }
    }
    if changed.contains(&Id::SlowlogMaxLen) {
        server.slowlog.truncate(config.slowlog_max_len);
    }
    if let Some(cluster) = &server.cluster {
        cluster.config_changed(&config);
    }
    server.publish_config(config);
    Ok(())
}

fn allow_clients(wanted: usize) -> Result<(), SetError> {
    let allowed = process::allow_clients(wanted);
    if allowed >= wanted {
        return Ok(());
    }
    let reason = format!(
        "The operating system is not able to handle the specified number of clients, try with \
         {allowed}"
    );
    Err(SetError::refused("maxclients", reason))
}

fn move_endpoint(
    server: &Server,
    config: &Config,
    name: &str,
    refusal: &'static str,
) -> Result<(), SetError> {
    match server.mover.move_to(Address::of(config)) {
        true => Ok(()),
        false => Err(SetError::refused(name, refusal)),
    }
}

/// CONFIG REWRITE.
pub(super) fn rewrite(session: &Session, worker: &mut Worker) -> Flow {
    let server = session.server;
    let _changing = server.config_change.lock();
    let config = server.config.load();
    if config.file().is_none() {
        return super::error(worker, "ERR The server is running without a config file");
    }
    match config.rewrite_file() {
        Ok(()) => {
            tracing::warn!("CONFIG REWRITE executed with success.");
            worker.reply.ok();
        }
        Err(error) => {
            tracing::warn!("CONFIG REWRITE failed: {error}");
            worker
                .reply
                .error(&format!("ERR Rewriting config file: {}", os_text(&error)));
        }
    }
    Flow::Next
}

/// CONFIG RESETSTAT.
pub(super) fn reset_stat(session: &Session, worker: &mut Worker) -> Flow {
    session.server.reset_stats();
    worker.reply.ok();
    Flow::Next
}
