//! Both sides of a link against redis-server.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests talk to a real server"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hexad_replication::{
    Answer, Handshake, HandshakeSettings, Incoming, IncomingLimits, Outcome, OutputLimit, Payload,
    PsyncRequest, ReplConf, ReplId, Replica, Step, Stream, Transfer, TransferStep, UnitKind,
    ack_command, full_resync_reply, psync,
};
use hexad_resp::{Args, Limits, Parsed, RequestParser};

const PATIENCE: Duration = Duration::from_secs(20);

/// A redis-server that listens at a Unix socket only.
struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    fn start(name: &str, args: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("hexad-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--unixsocket",
                "socket",
                "--dir",
            ])
            .arg(&folder)
            .args(["--repl-diskless-sync-delay", "0"])
            .args(args)
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { process, folder };
        eventually(|| UnixStream::connect(redis.folder.join("socket")).is_ok());
        redis
    }

    fn connect(&self) -> UnixStream {
        let socket = UnixStream::connect(self.folder.join("socket")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The reply to an inline command, of one line or bulk.
    fn ask(&self, line: &str) -> String {
        let mut socket = self.connect();
        socket
            .write_all(format!("{line}\r\nQUIT\r\n").as_bytes())
            .unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply.strip_suffix("+OK\r\n").unwrap().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

// ---- a replica of redis-server -------------------------------------------------------------------

/// The connection of a replica, and what of it was read and not understood.
struct Link {
    socket: UnixStream,
    left: Vec<u8>,
    applied: u64,
}

impl Link {
    fn more(&mut self) {
        let mut piece = [0; 1000];
        let start = Instant::now();
        let bytes = loop {
            match self.socket.read(&mut piece) {
                Ok(bytes) => break bytes,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            // The primary does not begin before it has heard of a replica that it knows online.
            self.socket.write_all(&ack_command(self.applied)).unwrap();
        };
        assert!(bytes > 0, "the primary has closed the link");
        self.left.extend_from_slice(&piece[..bytes]);
    }

    fn shake(redis: &Redis, wanted: Option<(ReplId, u64)>) -> (Self, Outcome) {
        let mut link = Self {
            socket: redis.connect(),
            left: Vec::new(),
            applied: 0,
        };
        let tick = Duration::from_millis(100);
        link.socket.set_read_timeout(Some(tick)).unwrap();
        let mut machine = Handshake::new(HandshakeSettings::default(), wanted, false);
        loop {
            let left = std::mem::take(&mut link.left);
            let mut input = left.as_slice();
            let step = machine.step(&mut input);
            link.left = input.to_vec();
            match step {
                Step::NeedMore => link.more(),
                Step::Send(bytes) => link.socket.write_all(&bytes).unwrap(),
                Step::Done(outcome) => return (link, outcome),
            }
        }
    }

    fn load(&mut self) -> (Payload, Vec<u8>) {
        let (mut machine, mut header, mut payload) = (Transfer::new(), None, Vec::new());
        loop {
            let left = std::mem::take(&mut self.left);
            let mut input = left.as_slice();
            let step = machine.step(&mut input).unwrap();
            let more = step == TransferStep::NeedMore;
            let end = step == TransferStep::End;
            match step {
                TransferStep::Header(found) => header = Some(found),
                TransferStep::Payload(bytes) => payload.extend_from_slice(bytes),
                _ => {}
            }
            self.left = input.to_vec();
            if more {
                self.more();
            }
            if end {
                return (header.unwrap(), payload);
            }
        }
    }

    /// Applies until a command `SET last …` has come: all commands as text.
    fn follow(&mut self, incoming: &mut Incoming) -> Vec<String> {
        let mut commands = Vec::new();
        loop {
            incoming.feed(&std::mem::take(&mut self.left));
            incoming.cut(1000).unwrap();
            let mut end = incoming.offset();
            for unit in incoming.units() {
                if unit.kind == UnitKind::GetAck {
                    self.socket.write_all(&ack_command(end)).unwrap();
                }
                end = unit.end;
                commands.extend(unit.commands().map(|(db, args)| {
                    let args = args.iter().map(String::from_utf8_lossy);
                    format!("{db}:{}", args.collect::<Vec<_>>().join(" "))
                }));
            }
            incoming.applied(end);
            self.applied = end;
            if commands
                .last()
                .is_some_and(|command| command.contains("last"))
            {
                return commands;
            }
            self.more();
        }
    }
}

#[test]
fn a_replica_of_redis_server() {
    let redis = Redis::start("primary", &[]);
    redis.ask("SET before 1");
    let (mut link, outcome) = Link::shake(&redis, None);
    let Outcome::Full {
        at: Some((id, offset)),
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    let (header, payload) = link.load();
    assert_eq!(header, Payload::Marked);
    assert!(payload.starts_with(b"REDIS0010") && payload.len() > 100);
    let mut incoming = Incoming::new(offset, 0, IncomingLimits::default());
    redis.ask("SET a 1\r\nSELECT 5\r\nMULTI\r\nSET b 2\r\nSET c 3\r\nEXEC\r\nSET last 1");
    let commands = link.follow(&mut incoming);
    assert_eq!(
        commands,
        ["0:SET a 1", "5:SET b 2", "5:SET c 3", "5:SET last 1"]
    );

    // WAIT asks, and the answer tells of all that was applied before.
    let mut waiting = redis.connect();
    waiting
        .write_all(b"SET x 1\r\nWAIT 1 0\r\nSET last 2\r\n")
        .unwrap();
    let waited = std::thread::spawn(move || {
        let mut reply = [0; 14];
        waiting.read_exact(&mut reply).unwrap();
        reply
    });
    assert_eq!(link.follow(&mut incoming), ["0:SET x 1", "0:SET last 2"]);
    assert_eq!(&waited.join().unwrap(), b"+OK\r\n:1\r\n+OK\r\n");

    // The link breaks; what was written meanwhile comes with the next one.
    drop(link);
    redis.ask("SET d 4\r\nSELECT 5\r\nSET last 3");
    let (mut link, outcome) = Link::shake(&redis, Some((id, incoming.offset() + 1)));
    assert_eq!(outcome, Outcome::Continue { id: Some(id) });
    let mut incoming = Incoming::new(incoming.offset(), incoming.db(), IncomingLimits::default());
    assert_eq!(link.follow(&mut incoming), ["0:SET d 4", "5:SET last 3"]);
    let info = redis.ask("INFO replication");
    assert!(
        info.contains(&format!("master_repl_offset:{}\r\n", incoming.offset())),
        "{info}"
    );

    // One byte too far is another history.
    let (_, outcome) = Link::shake(&redis, Some((id, incoming.offset() + 1000)));
    assert!(matches!(outcome, Outcome::Full { .. }));
}

// ---- a primary of redis-server -------------------------------------------------------------------

/// The connection of a redis-server that replicates from here.
struct Served {
    socket: TcpStream,
    replica: Replica,
    buffer: Vec<u8>,
}

impl Served {
    fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            replica: Replica::default(),
            buffer: Vec::new(),
        }
    }

    /// Answers until PSYNC; returns its answer. With `acked`, until that is acknowledged.
    fn serve(&mut self, stream: &Stream, acked: Option<u64>) -> Option<Answer> {
        loop {
            let mut ranges = Vec::new();
            let parsed =
                RequestParser::new().parse(&mut self.buffer, 0, &mut ranges, &Limits::default());
            let Parsed::Complete { consumed } = parsed.unwrap() else {
                let mut piece = [0; 1000];
                let bytes = self.socket.read(&mut piece).unwrap();
                assert!(bytes > 0, "the replica has closed the link");
                self.buffer.extend_from_slice(&piece[..bytes]);
                continue;
            };
            let command: Vec<u8> = self.buffer.drain(..consumed).collect();
            let args = Args::new(&command, &ranges);
            let reply: &[u8] = match &args[0] {
                b"PING" => b"+PONG\r\n",
                b"REPLCONF" => match self.replica.replconf(args.slice(1)) {
                    ReplConf::Ok => b"+OK\r\n",
                    ReplConf::Ack(offset) if acked == Some(offset) => return None,
                    ReplConf::Ack(_) => b"",
                    other => panic!("{other:?}"),
                },
                b"PSYNC" => {
                    let request = PsyncRequest::parse(args.slice(1), "r").unwrap();
                    return Some(psync(stream, &self.replica, "r", &request));
                }
                _ => panic!("{args:?}"),
            };
            self.socket.write_all(reply).unwrap();
        }
    }

    /// Sends the stream from byte `next` on, and waits until all of it is applied.
    fn feed(&mut self, stream: &mut Stream, next: u64) {
        let reader = stream.attach(next).unwrap();
        let mut out = Vec::new();
        stream.read(reader, usize::MAX, &mut out).unwrap();
        stream.detach(reader);
        for slice in out {
            self.socket.write_all(&slice).unwrap();
        }
        self.serve(stream, Some(stream.offset()));
    }
}

#[test]
fn a_primary_of_redis_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let redis = Redis::start("replica", &[]);
    let (mut link, _) = Link::shake(&redis, None);
    let (_, empty) = link.load();
    drop(link);

    let id = ReplId::from_random([0xab; 20]);
    let mut stream = Stream::new(id, 1 << 20, OutputLimit::NONE);
    stream.start_backlog(id);
    stream.append_command(7, [&b"SET"[..], b"before", b"the cut"]);
    stream.forget_db();
    let set = |stream: &mut Stream, db, key: &str, value: &[u8]| {
        stream.append_command(db, [&b"SET"[..], key.as_bytes(), value]);
    };

    assert_eq!(redis.ask(&format!("REPLICAOF 127.0.0.1 {port}")), "+OK\r\n");
    let mut served = Served::accept(&listener);
    assert!(matches!(
        served.serve(&stream, None),
        Some(Answer::Full { .. })
    ));
    assert!(served.replica.eof && served.replica.psync2);
    let cut = stream.history().next();
    let mark = [b'm'; 40];
    let reply = full_resync_reply(stream.history());
    for part in [&reply[..], b"\n$EOF:", &mark, b"\r\n", &empty, &mark] {
        served.socket.write_all(part).unwrap();
    }
    // The server looks for the mark at the end of what it reads, so nothing may follow yet.
    served.serve(&stream, Some(cut - 1));
    set(&mut stream, 0, "a", b"1");
    stream.append_multi(3);
    set(&mut stream, 3, "b", &[b'x'; 100_000]);
    set(&mut stream, 3, "c", b"3");
    stream.append_exec();
    stream.append_getack();
    stream.append_ping();
    served.feed(&mut stream, cut);
    assert_eq!(redis.ask("GET a"), "$1\r\n1\r\n");
    assert_eq!(
        redis.ask("SELECT 3\r\nSTRLEN b\r\nGET c"),
        "+OK\r\n:100000\r\n$1\r\n3\r\n"
    );

    // The link breaks, and the server goes on from where it was.
    drop(served);
    set(&mut stream, 3, "d", b"4");
    let mut served = Served::accept(&listener);
    let Some(Answer::Continue { reply, next, .. }) = served.serve(&stream, None) else {
        panic!("no +CONTINUE")
    };
    served.socket.write_all(&reply).unwrap();
    served.feed(&mut stream, next);
    assert_eq!(redis.ask("SELECT 3\r\nGET d"), "+OK\r\n$1\r\n4\r\n");

    // It goes on under a new id, too, as after a failover.
    drop(served);
    stream.promote(ReplId::from_random([0xcd; 20]));
    set(&mut stream, 3, "e", b"5");
    let mut served = Served::accept(&listener);
    let Some(Answer::Continue { reply, next, .. }) = served.serve(&stream, None) else {
        panic!("no +CONTINUE")
    };
    served.socket.write_all(&reply).unwrap();
    served.feed(&mut stream, next);
    assert_eq!(redis.ask("SELECT 3\r\nGET e"), "+OK\r\n$1\r\n5\r\n");
    let info = redis.ask("INFO replication");
    assert!(
        info.contains(&format!("master_replid:{}\r\n", "cd".repeat(20))),
        "{info}"
    );
    assert!(
        info.contains(&format!("master_replid2:{}\r\n", "ab".repeat(20))),
        "{info}"
    );
}
