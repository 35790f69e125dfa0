//! One server process under test.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Conn, READ_TIMEOUT, Value};
use crate::network::Place;
use crate::ports::PortPair;
use crate::wait::{poll_until, wait_until};

/// A server that is not ready by then has failed.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A server that has not ended by then hangs.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Which program a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The binary under test: `$HEXAD_BIN`, or `hexad` in the target folder of this build.
    Hexad,
    /// The reference: `$REDIS_SERVER_BIN`, or `redis-server` on the `PATH`.
    Stock,
}

impl Kind {
    /// The program to start.
    ///
    /// # Panics
    /// If hexad has not been built.
    #[must_use]
    pub fn binary(self) -> PathBuf {
        match self {
            Self::Hexad => hexad_binary(),
            Self::Stock => std::env::var_os("REDIS_SERVER_BIN")
                .unwrap_or_else(|| "redis-server".into())
                .into(),
        }
    }
}

fn hexad_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("HEXAD_BIN") {
        return path.into();
    }
    // A test runs as target/<profile>/deps/<test>-<hash>.
    let test = std::env::current_exe().expect("the test's own path is known");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a test lies two folders below target");
    let candidates = [
        profile.join("hexad"),
        profile.with_file_name("release").join("hexad"),
    ];
    candidates
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("no hexad binary: run 'cargo build --bin hexad' or set HEXAD_BIN")
        })
}

/// A folder of its own, removed when dropped: but after a failed test, or with `HEXAD_KEEP` set,
/// it stays to be looked at.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// Makes the folder.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hexad-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // One left by an earlier process of the same id is of no use to anyone.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("HEXAD_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// How a server is to be started.
#[derive(Debug)]
pub struct ServerBuilder {
    kind: Kind,
    dir: TempDir,
    ports: PortPair,
    config: Option<String>,
    args: Vec<String>,
    unix_only: bool,
    place: Option<Place>,
}

impl ServerBuilder {
    /// Runs it elsewhere than on 127.0.0.1 of this network namespace.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds command line arguments, which win over the harness's own.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Puts `text` into a configuration file that is the server's first argument.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Makes it a cluster node.
    #[must_use]
    pub fn cluster(self, node_timeout: Duration) -> Self {
        let timeout = node_timeout.as_millis().to_string();
        self.args(&[
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            &timeout,
        ])
    }

    /// Listens on no port, only on the unix socket `redis.sock` in its folder.
    #[must_use]
    pub fn unix_only(mut self) -> Self {
        self.unix_only = true;
        let socket = self.dir.path().join("redis.sock");
        self.args(&["--port", "0", "--unixsocket", &socket.to_string_lossy()])
    }

    /// The folder that the server will work in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The port that the server will listen on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.port()
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it ends or does not answer in time.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        let mut server = self.into_server();
        server.spawn();
        server.wait_ready();
        server
    }

    /// Starts a server that is expected to end by itself; gives its exit status and its output.
    ///
    /// # Panics
    /// If it does not end.
    #[must_use]
    #[track_caller]
    pub fn run_to_end(self) -> (ExitStatus, String) {
        let mut server = self.into_server();
        server.spawn();
        let status = server.wait_exit();
        (status, server.log())
    }

    fn into_server(self) -> Server {
        let dir = self.dir.path().to_string_lossy().into_owned();
        let port = self.ports.port().to_string();
        let host = self.place.as_ref().map_or(Ipv4Addr::LOCALHOST, |p| p.ip);
        let host = host.to_string();
        let mut args = Vec::new();
        if let Some(text) = &self.config {
            let path = self.dir.path().join("redis.conf");
            fs::write(&path, text).expect("the configuration can be written");
            args.push(path.to_string_lossy().into_owned());
        }
        let own = [
            "--port", &port, "--bind", &host, "--dir", &dir, "--save", "",
        ];
        args.extend(own.map(str::to_owned));
        args.extend(self.args);
        Server {
            kind: self.kind,
            args,
            unix_only: self.unix_only,
            place: self.place,
            child: None,
            ports: self.ports,
            dir: self.dir,
        }
    }
}

/// One server process. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    args: Vec<String>,
    unix_only: bool,
    place: Option<Place>,
    child: Option<Child>,
    ports: PortPair,
    dir: TempDir,
}

impl Server {
    /// A server of `kind` on ports and in a folder of its own, on 127.0.0.1, saving nothing.
    #[must_use]
    pub fn builder(kind: Kind) -> ServerBuilder {
        ServerBuilder {
            kind,
            dir: TempDir::new(),
            ports: PortPair::take(),
            config: None,
            args: Vec::new(),
            unix_only: false,
            place: None,
        }
    }

    /// A stand-alone server with nothing special about it.
    #[must_use]
    #[track_caller]
    pub fn start(kind: Kind) -> Self {
        Self::builder(kind).start()
    }

    /// Which program it runs.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The client port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.port()
    }

    /// The cluster bus port.
    #[must_use]
    pub fn bus_port(&self) -> u16 {
        self.ports.bus_port()
    }

    /// `ip:port`
    #[must_use]
    pub fn address(&self) -> String {
        self.socket_address().to_string()
    }

    /// Where it listens.
    #[must_use]
    pub fn socket_address(&self) -> SocketAddr {
        let ip = self.place.as_ref().map_or(Ipv4Addr::LOCALHOST, |p| p.ip);
        (ip, self.port()).into()
    }

    /// The folder it works in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process id.
    ///
    /// # Panics
    /// If it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// What it has written to standard output and standard error, all its lives together.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of [`Server::log`], under a heading.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(25)..].join("\n");
        format!(
            "--- log of {:?} {} ---\n{tail}\n",
            self.kind,
            self.address()
        )
    }

    /// Waits until the log contains `text`.
    ///
    /// # Panics
    /// If it does not in time.
    #[track_caller]
    pub fn wait_log(&self, text: &str) {
        wait_until(&format!("'{text}' in the log"), START_LIMIT, || {
            if self.log().contains(text) {
                Ok(())
            } else {
                Err(self.log_tail())
            }
        });
    }

    /// A new connection.
    pub fn try_conn(&self) -> io::Result<Conn> {
        if self.unix_only {
            Conn::open_unix(&self.dir.path().join("redis.sock"))
        } else {
            Conn::open_at(self.socket_address(), READ_TIMEOUT)
        }
    }

    /// A new connection to a server that is up.
    ///
    /// # Panics
    /// If it does not accept it.
    #[must_use]
    #[track_caller]
    pub fn conn(&self) -> Conn {
        self.try_conn()
            .unwrap_or_else(|error| panic!("no connection: {error}\n{}", self.log_tail()))
    }

    /// Runs one command, its arguments parted by spaces, on a connection of its own.
    ///
    /// # Panics
    /// If there is no reply.
    #[track_caller]
    pub fn cmd(&self, line: &str) -> Value {
        self.conn().cmd(line)
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => false,
        }
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: it holds its ports and connections and answers nothing. All its threads stand when
    /// this returns.
    ///
    /// # Panics
    /// If they do not in time.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        wait_until("all threads stand", STOP_LIMIT, || {
            let tasks = fs::read_dir(&tasks).map_err(|error| error.to_string())?;
            for task in tasks.flatten() {
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state follows the name, which stands in brackets.
                let state = stat.rsplit(") ").next().unwrap_or_default();
                if !state.starts_with('T') {
                    return Err(stat);
                }
            }
            Ok(())
        });
    }

    /// SIGCONT
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM; waits for the end and gives the exit status.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If it is not running.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("the server's process is ours to signal");
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// If it does not in time.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let ended = poll_until(STOP_LIMIT, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        ended.unwrap_or_else(|reason| {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not end: {reason}\n{}", self.log_tail())
        })
    }

    /// Starts it again after it ended, with the same arguments and folder, and waits until it
    /// answers.
    ///
    /// # Panics
    /// If it still runs or does not come up.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(
            self.child.is_none(),
            "end the server before starting it again"
        );
        self.spawn();
        self.wait_ready();
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    fn spawn(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        let log = log.expect("the log can be opened");
        let errors = log.try_clone().expect("a file can be opened twice");
        let binary = self.kind.binary();
        let mut command = match &self.place {
            None => Command::new("setpriv"),
            Some(place) => place.command("setpriv"),
        };
        // setpriv makes the server end with the test that started it, however that ends.
        let child = command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&binary)
            .args(&self.args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        let child = child.unwrap_or_else(|e| panic!("{} does not start: {e}", binary.display()));
        self.child = Some(child);
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let ready = poll_until(START_LIMIT, || {
            if !self.is_running() {
                return Ok(Err("it ended"));
            }
            match self
                .try_conn()
                .and_then(|mut conn| conn.try_call(&["PING"]))
            {
                Ok(reply) if !reply.text().starts_with("LOADING") => Ok(Ok(())),
                Ok(reply) => Err(reply.text()),
                Err(error) => Err(error.to_string()),
            }
        });
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => panic!("the server did not come up: {reason}\n{}", self.log_tail()),
            Err(reason) => panic!("the server did not come up: {reason}\n{}", self.log_tail()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
