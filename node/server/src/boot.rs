//! From the command line to a serving process, and back.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use hexad_store::HashSeed;
use rand::Rng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{ClientClass, Config, Id, SetContext, Start, StartError, Value};
use crate::endpoint::{self, Address};
use crate::host::ClusterHost;
use crate::listener::{self, Listener};
use crate::log::Role;
use crate::replication::{Following, Order};
use crate::server::{Parts, Server};
use crate::{cluster, info, log, memory, process, replication, shutdown, worker};

/// How often rates are sampled (Redis 7.0: every 100 ms).
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Runs the server with these arguments (without the program's name) until it is told to end.
pub fn run(args: &[OsString]) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            if !text.is_empty() {
                complain(&text);
            }
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard error: for what is wrong before there is a log.
#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn complain(text: &str) {
    eprintln!("{text}");
}

#[expect(
    clippy::print_stdout,
    reason = "--version and --help answer on standard output"
)]
fn print(text: &str) {
    println!("{text}");
}

fn start(args: &[OsString]) -> Result<(), String> {
    let mut config = match Config::from_args(args) {
        Ok(Start::Run(config)) => *config,
        Ok(Start::Print(text)) => {
            print(&text);
            return Ok(());
        }
        // As Redis: it takes this for a line of the log, whose default is standard output.
        Err(error @ StartError::Unreadable { .. }) => {
            print(&error.to_string());
            return Err(String::new());
        }
        Err(error) => return Err(error.to_string()),
    };
    if config.daemonize && process::daemonize().map_err(|error| format!("daemonize: {error}"))? {
        return Ok(());
    }
    if matches!(config.value(Id::DisableThp), Value::Bool(true)) {
        // Where the kernel knows no huge pages there are none to avoid.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
    }
    log::init(&config).map_err(|error| format!("Can't open the log file: {error}"))?;
    announce(&config);
    let served = serve(&mut config);
    if let Err(text) = &served {
        tracing::error!("{text}");
    }
    // It is in the log; a terminal has seen it there.
    served.map_err(|_| String::new())
}

/// The first lines of the log.
fn announce(config: &Config) {
    log::set_role(Role::Child);
    tracing::warn!("hexad is starting");
    tracing::warn!(
        "hexad version={}, Redis version={}, bits={}, pid={}, just started",
        env!("CARGO_PKG_VERSION"),
        info::REDIS_VERSION,
        usize::BITS,
        std::process::id()
    );
    match config.file() {
        Some(_) => tracing::warn!("Configuration loaded"),
        None => tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a \
             config file use hexad /path/to/hexad.conf"
        ),
    }
    log::set_role(Role::Primary);
    tracing::info!("monotonic clock: POSIX clock_gettime");
    for directive in config.without_effect() {
        tracing::warn!("The directive '{directive}' is accepted and kept, but has no effect yet");
    }
}

fn serve(config: &mut Config) -> Result<(), String> {
    std::env::set_current_dir(&config.dir)
        .map_err(|error| format!("Can't chdir to '{}': {error}", config.dir.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("Cannot start the runtime: {error}"))?;
    fit_clients(config);
    let sockets = bind(config)?;
    let bus = match config.cluster.enabled {
        true => Some(cluster::Bus::open(config)?),
        false => None,
    };
    let mode = if bus.is_some() {
        "cluster"
    } else {
        "standalone"
    };
    tracing::info!("Running mode={mode}, port={}.", config.port);
    if matches!(config.value(Id::AlwaysShowLogo), Value::Bool(true)) {
        // Test suites and scripts look for " PID: n" here.
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
        tracing::info!(
            "hexad {version}, {mode} mode, Port: {}, PID: {pid}",
            config.port
        );
    }

    let mut rng = rand::rng();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..config.io_threads.max(1))
        .map(|_| mpsc::unbounded_channel())
        .unzip();
    let (orders, orders_taken) = mpsc::unbounded_channel();
    let server: &'static Server = Box::leak(Box::new(Server::new(Parts {
        cluster: bus.as_ref().map(cluster::Bus::handle),
        seed: HashSeed::new(rng.random(), rng.random()),
        workers: senders,
        commands: hexad_commands::Command::all().count(),
        orders,
        config: config.clone(),
    })));
    for (id, sockets) in receivers.into_iter().enumerate() {
        worker::spawn(id, server, sockets)
            .map_err(|error| format!("Cannot start worker {id}: {error}"))?;
    }
    replication::spawn(server, orders_taken)
        .map_err(|error| format!("Cannot start the replication thread: {error}"))?;
    if let Some((host, port)) = config.replication.replicaof.clone() {
        let host = String::from_utf8_lossy(&host).into_owned();
        server.replication.order(Order::Follow {
            primary: Following { host, port },
            done: None,
        });
    }
    if let Some(bus) = bus {
        bus.run(ClusterHost(server), &hexad_slots::SlotBitmap::new())
            .map_err(|error| format!("Cannot start the cluster bus: {error}"))?;
    }
    process::write_pidfile(config);
    memory::return_free_pages(config);
    memory::note_startup();
    tracing::warn!("Server initialized");
    runtime.block_on(main_loop(sockets, server));
    end(server);
    Ok(())
}

/// Lowers `maxclients` to what the system allows, and says so.
fn fit_clients(config: &mut Config) {
    let allowed = process::allow_clients(config.maxclients);
    if allowed >= config.maxclients {
        return;
    }
    tracing::warn!(
        "maxclients has been reduced from {} to {allowed}: the process may open no more files",
        config.maxclients
    );
    let context = SetContext {
        client_is_local: true,
        loading: false,
    };
    let value = allowed.max(1).to_string();
    match config.set(&[(b"maxclients", value.as_bytes())], context) {
        Ok((lowered, _)) => *config = lowered,
        Err(error) => tracing::warn!("{error}"),
    }
}

/// The sockets that clients connect to.
struct Sockets {
    tcp: Vec<Listener>,
    unix: Option<Listener>,
}

fn bind(config: &Config) -> Result<Sockets, String> {
    let mut sockets = Sockets {
        tcp: Vec::new(),
        unix: None,
    };
    if config.port != 0 {
        let bound =
            listener::bind_tcp(&config.bind, config.port, config.tcp_backlog).map_err(|text| {
                tracing::warn!("Warning: {text}");
                format!("Failed listening on port {} (TCP), aborting.", config.port)
            })?;
        sockets.tcp = bound.into_iter().map(Listener::Tcp).collect();
    }
    if let Some(path) = &config.unixsocket {
        let socket = listener::bind_unix(path, config.unixsocketperm, config.tcp_backlog)
            .map_err(|error| format!("Failed opening Unix socket: bind: {error}"))?;
        sockets.unix = Some(Listener::Unix(socket, path.display().to_string()));
    }
    if sockets.tcp.is_empty() && sockets.unix.is_none() {
        return Err("Configured to not listen anywhere, exiting.".to_owned());
    }
    Ok(sockets)
}

/// What the main thread does: accept, sample, close idle clients, and wait for the end.
async fn main_loop(sockets: Sockets, server: &'static Server) {
    if !sockets.tcp.is_empty() {
        tracing::info!("Ready to accept connections");
    }
    let address = Address::of(&server.config.load());
    tokio::spawn(endpoint::serve(address, sockets.tcp, server));
    if let Some(unix) = sockets.unix {
        if let Listener::Unix(_, path) = &unix {
            tracing::info!("The server is now ready to accept connections at {path}");
        }
        tokio::spawn(endpoint::accept(unix, server));
    }
    tokio::spawn(housekeeping(server));
    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!("Cannot watch for signals: {error}");
            return;
        }
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => tracing::warn!("Received SIGTERM scheduling shutdown..."),
            _ = interrupt.recv() => tracing::warn!("Received SIGINT scheduling shutdown..."),
            () = server.shutdown.requested() => {}
        }
        tracing::warn!("User requested shutdown...");
        if shutdown::wait_for_replicas(server).await {
            return;
        }
    }
}

/// Samples rates and memory, and looks after clients.
async fn housekeeping(server: &'static Server) {
    let mut ticks = 0u64;
    loop {
        tokio::time::sleep(SAMPLE_EVERY).await;
        server.samples.sample(
            server.sum(|stats| stats.commands.get()),
            server.sum(|stats| stats.input_bytes.get()),
            server.sum(|stats| stats.output_bytes.get()),
        );
        ticks += 1;
        if ticks.is_multiple_of(10) {
            server.samples.note_memory(memory::allocated());
            close_bad_clients(server);
        }
    }
}

/// Closes clients that have been silent for `timeout`, or do not take their replies.
fn close_bad_clients(server: &Server) {
    let config = server.config.load();
    let limit = config.client_output_buffer_limit[ClientClass::Normal as usize];
    let now_ms = worker::unix_ms();
    let silent_since = now_ms - config.timeout_s as i64 * 1000;
    for client in server.clients.all() {
        if client.check_soft_limit(&limit, now_ms) && !client.is_killed() {
            server.output_limit_disconnections.increment();
            client.kill_for_output(now_ms);
        } else if config.timeout_s > 0 && client.is_idle_since(silent_since) {
            tracing::debug!("Closing idle client {}", client.addr);
            client.kill();
        }
    }
}

/// The last things that the process does.
fn end(server: &Server) {
    if let Some(cluster) = &server.cluster {
        cluster.stop();
    }
    let config = server.config.load();
    process::remove_pidfile(&config);
    if let Some(path) = &config.unixsocket {
        tracing::info!("Removing the unix socket file.");
        let _ = std::fs::remove_file(path);
    }
    tracing::warn!("hexad is now ready to exit, bye bye...");
}
