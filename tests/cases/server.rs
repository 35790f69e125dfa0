//! The process around the commands: arguments, configuration files, signals, limits, sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use hexad_tests::{Conn, Kind, PortPair, Server, TempDir, on_both, run, wait_until};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(15);

on_both! {
    a_bad_configuration_line_is_named,
    a_bad_argument_is_named,
    a_missing_configuration_file_is_an_error,
    configuration_comes_from_files_and_arguments,
    a_taken_port_is_an_error,
    sigterm_and_sigint_end_cleanly,
    shutdown_ends_cleanly,
    unix_socket,
    pid_file,
    daemon,
    too_many_clients,
    idle_clients_are_closed,
    protected_mode,
    output_buffer_limits,
    query_buffer_limit,
    configuration_is_rewritten,
    save_points_are_rewritten,
    arguments_may_hold_name_and_value,
    nodes_conf_is_locked,
    a_broken_nodes_conf_is_an_error,
}

fn a_bad_configuration_line_is_named(kind: Kind) {
    for (text, line, shown, reason) in [
        (
            "nosuchdirective yes\n",
            1,
            "nosuchdirective yes",
            "Bad directive or wrong number of arguments",
        ),
        (
            "timeout 5\n\nmaxmemory abc\n",
            3,
            "maxmemory abc",
            "argument must be a memory value",
        ),
        (
            "# comment\nlogfile \"abc\n",
            2,
            "logfile \"abc",
            "Unbalanced quotes in configuration line",
        ),
        (
            "appendfsync maybe\n",
            1,
            "appendfsync maybe",
            "argument(s) must be one of the following",
        ),
        ("timeout\n", 1, "timeout", "wrong number of arguments"),
        (
            "hz x\n",
            1,
            "hz x",
            "argument couldn't be parsed into an integer",
        ),
    ] {
        let (status, output) = Server::builder(kind).config(text).run_to_end();
        assert_eq!(status.code(), Some(1), "{output}");
        let expected = [
            "*** FATAL CONFIG FILE ERROR".to_owned(),
            format!("Reading the configuration file, at line {line}"),
            format!(">>> '{shown}'"),
            reason.to_owned(),
        ];
        for part in expected {
            assert!(output.contains(&part), "no '{part}' in\n{output}");
        }
    }
}

fn a_bad_argument_is_named(kind: Kind) {
    for (args, shown) in [
        (["--nosuch", "5"], ">>> 'nosuch \"5\"'"),
        (["--maxclients", "many"], ">>> 'maxclients \"many\"'"),
        (["--port", "99999"], ">>> 'port \"99999\"'"),
    ] {
        let (status, output) = Server::builder(kind).args(&args).run_to_end();
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(output.contains(shown), "no {shown} in\n{output}");
    }
}

fn a_missing_configuration_file_is_an_error(kind: Kind) {
    let output = Command::new(kind.binary())
        .arg("/nosuch/file.conf")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "can't open config file '/nosuch/file.conf': No such file or directory";
    assert!(text.contains(expected), "{text}");
}

fn configuration_comes_from_files_and_arguments(kind: Kind) {
    let builder = Server::builder(kind);
    let included = builder.dir().join("included.conf");
    fs::write(&included, "timeout 77\nhz 20\n").expect("a file can be written");
    let text = format!(
        "# a comment\n\n  maxmemory   100mb\nMAXCLIENTS 100\ninclude {}\nhz 30\n\
         save 900 1\nsave 300 10\nclient-output-buffer-limit normal 10 5 1\nproc-title-template \"a b\"\n",
        included.display()
    );
    let server = builder.config(&text).args(&["--timeout", "88"]).start();
    let mut conn = server.conn();
    let mut get = |name: &str| conn.cmd(&format!("CONFIG GET {name}")).array()[1].text();
    assert_eq!(get("maxmemory"), "104857600");
    assert_eq!(get("maxclients"), "100");
    assert_eq!(get("timeout"), "88", "arguments win over the file");
    assert_eq!(get("hz"), "30", "what comes later wins");
    assert_eq!(get("save"), "", "the harness's own --save \"\" comes last");
    assert!(get("client-output-buffer-limit").starts_with("normal 10 5 1 "));
    assert_eq!(get("proc-title-template"), "a b");
}

fn a_taken_port_is_an_error(kind: Kind) {
    let first = Server::start(kind);
    let port = first.port().to_string();
    let (status, output) = Server::builder(kind).args(&["--port", &port]).run_to_end();
    assert_eq!(status.code(), Some(1), "{output}");
    let expected = format!("Failed listening on port {port} (TCP), aborting.");
    assert!(output.contains("Address already in use"), "{output}");
    assert!(output.contains(&expected), "{output}");
}

fn sigterm_and_sigint_end_cleanly(kind: Kind) {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut server = Server::start(kind);
        server.wait_log("Server initialized");
        server.wait_log("Ready to accept connections");
        let mut idle = server.conn();
        idle.ok("PING");
        server.signal(signal);
        let status = server.wait_exit();
        assert_eq!(status.code(), Some(0), "{}", server.log_tail());
        assert!(idle.is_closed());
        for part in [
            &format!("Received {name} scheduling shutdown..."),
            "User requested shutdown...",
            "ready to exit, bye bye...",
        ] {
            assert!(
                server.log().contains(part),
                "no '{part}'\n{}",
                server.log_tail()
            );
        }
    }
}

fn shutdown_ends_cleanly(kind: Kind) {
    let mut server = Server::start(kind);
    let mut conn = server.conn();
    conn.send(&["SHUTDOWN", "NOSAVE"])
        .expect("the server takes the command");
    assert!(conn.is_closed());
    assert_eq!(server.wait_exit().code(), Some(0));
    server.restart();
    assert_eq!(server.cmd("PING").text(), "PONG");
}

fn unix_socket(kind: Kind) {
    let mut server = Server::builder(kind)
        .unix_only()
        .args(&["--unixsocketperm", "700"])
        .start();
    let path = server.dir().join("redis.sock");
    let mode = fs::metadata(&path)
        .expect("the socket is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let mut conn = Conn::open_unix(&path).expect("a connection");
    conn.ok("SET key value");
    assert_eq!(conn.cmd("GET key").text(), "value");
    let info = conn.cmd("CLIENT INFO").text();
    assert!(
        info.contains(&format!("addr={}:0 ", path.display())),
        "{info}"
    );
    assert!(info.contains("flags=U "), "{info}");
    server.terminate();
    assert!(!path.exists(), "the socket's file is removed");
}

fn pid_file(kind: Kind) {
    let builder = Server::builder(kind);
    let path = builder.dir().join("server.pid");
    let mut server = builder
        .args(&["--pidfile", &path.to_string_lossy()])
        .start();
    let pid = fs::read_to_string(&path).expect("the pid file is there");
    assert_eq!(pid.trim_end(), server.pid().to_string());
    server.terminate();
    assert!(!path.exists(), "the pid file is removed");
}

fn daemon(kind: Kind) {
    let dir = TempDir::new();
    let ports = PortPair::take();
    let mut command = Command::new(kind.binary());
    command
        .current_dir(dir.path())
        .args(["--port", &ports.port().to_string()]);
    command.args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "yes"]);
    command.args([
        "--pidfile",
        "daemon.pid",
        "--logfile",
        "daemon.log",
        "--dir",
        ".",
    ]);
    let (success, output) = run(&mut command);
    assert!(success, "{output}");
    let mut conn = wait_until("the daemon answers", SOON, || {
        Conn::open(ports.port()).map_err(|error| error.to_string())
    });
    let info = conn.cmd("INFO server").text();
    let pid = fs::read_to_string(dir.path().join("daemon.pid")).expect("the pid file is there");
    assert!(
        info.contains(&format!("process_id:{}\r\n", pid.trim_end())),
        "{info}"
    );
    let log = fs::read_to_string(dir.path().join("daemon.log")).expect("the log is there");
    assert!(log.contains("Ready to accept connections"), "{log}");
    conn.send(&["SHUTDOWN", "NOSAVE"])
        .expect("the server takes the command");
    assert!(conn.is_closed());
    wait_until("the pid file is removed", SOON, || {
        if dir.path().join("daemon.pid").exists() {
            Err("it is there".to_owned())
        } else {
            Ok(())
        }
    });
}

fn too_many_clients(kind: Kind) {
    let server = Server::builder(kind).args(&["--maxclients", "5"]).start();
    // The connection of the readiness check may still be there for a moment.
    let mut conns: Vec<Conn> = (0..5)
        .map(|_| {
            wait_until("a free place", SOON, || {
                let mut conn = server.conn();
                match conn.try_call(&["PING"]) {
                    Ok(reply) if !reply.is_error() => Ok(conn),
                    other => Err(format!("{other:?}")),
                }
            })
        })
        .collect();
    let mut refused = server.conn();
    let reply = refused.read().expect("a reason");
    assert_eq!(reply.text(), "ERR max number of clients reached");
    assert!(refused.is_closed());
    conns.pop();
    wait_until("the place is free again", SOON, || {
        match server.conn().try_call(&["PING"]) {
            Ok(reply) if !reply.is_error() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(conns[0].cmd("CONFIG GET maxclients").array()[1].text(), "5");
    conns[0].ok("CONFIG SET maxclients 100");
    let more: Vec<Conn> = (0..20).map(|_| server.conn()).collect();
    for mut conn in more {
        conn.ok("PING");
    }
    let info = conns[0].cmd("INFO stats").text();
    assert!(!info.contains("rejected_connections:0\r\n"), "{info}");
}

fn idle_clients_are_closed(kind: Kind) {
    let server = Server::builder(kind).args(&["--timeout", "1"]).start();
    let mut busy = server.conn();
    let mut idle = server.conn();
    idle.ok("PING");
    let start = Instant::now();
    let watcher = std::thread::spawn(move || (idle.is_closed(), start.elapsed()));
    while start.elapsed() < Duration::from_secs(4) {
        busy.ok("PING");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (closed, after) = watcher.join().expect("the watcher ends");
    assert!(closed);
    assert!(
        after >= Duration::from_millis(900),
        "closed after {after:?} already"
    );
    busy.ok("PING");
}

/// Without a password, and told of no address to bind, only 127.0.0.1 and ::1 may talk to it.
fn protected_mode(kind: Kind) {
    let server = Server::builder(kind).args(&["--bind", "0.0.0.0"]).start();
    server.conn().ok("PING");
    let mut stranger = connect_from(Ipv4Addr::new(127, 0, 0, 2), server.port());
    let mut reply = String::new();
    stranger
        .read_to_string(&mut reply)
        .expect("a reason, then the end");
    // The explanation is each server's own.
    assert!(
        reply.starts_with("-DENIED ") && reply.contains("protected mode"),
        "{reply}"
    );

    server.conn().ok("CONFIG SET protected-mode no");
    let mut stranger = connect_from(Ipv4Addr::new(127, 0, 0, 2), server.port());
    stranger
        .write_all(b"PING\r\n")
        .expect("the server takes the command");
    let mut pong = [0; 7];
    stranger.read_exact(&mut pong).expect("a reply");
    assert_eq!(&pong, b"+PONG\r\n");

    server
        .conn()
        .ok("CONFIG SET protected-mode yes requirepass secret");
    let mut stranger = connect_from(Ipv4Addr::new(127, 0, 0, 2), server.port());
    stranger
        .write_all(b"AUTH secret\r\n")
        .expect("the server takes the command");
    let mut ok = [0; 5];
    stranger.read_exact(&mut ok).expect("a reply");
    assert_eq!(&ok, b"+OK\r\n");
}

/// A connection to 127.0.0.1 whose own address is `source`.
fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None);
    let socket = socket.expect("a socket");
    rustix::net::bind(&socket, &SocketAddrV4::new(source, 0)).expect("an address of this machine");
    let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    rustix::net::connect(&socket, &target).expect("a connection");
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(SOON))
        .expect("a timeout can be set");
    stream
}

fn output_buffer_limits(kind: Kind) {
    const VALUE: usize = 1 << 20;
    const REPLIES: usize = 200;
    let server = Server::start(kind);
    let mut admin = server.conn();
    admin.call(&[b"SET".as_slice(), b"big", &vec![b'x'; VALUE]]);
    let pipeline = b"GET big\r\n".repeat(REPLIES);
    for (limit, soft) in [("normal 5mb 0 0", false), ("normal 0 1mb 1", true)] {
        assert_eq!(
            admin
                .call(&["CONFIG", "SET", "client-output-buffer-limit", limit])
                .text(),
            "OK"
        );
        let mut lazy = server.conn();
        lazy.ok("PING");
        let start = Instant::now();
        lazy.send_raw(&pipeline)
            .expect("the server takes the commands");
        wait_until("the server has dropped the client", SOON, || {
            let list = admin.cmd("CLIENT LIST").text();
            if list.lines().count() == 1 {
                Ok(())
            } else {
                Err(list)
            }
        });
        assert!(
            !soft || start.elapsed() >= Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
        let got = lazy.drain().expect("what was sent, then the end");
        assert!(got < REPLIES * VALUE, "all replies arrived");
    }
    admin.ok("PING");
}

fn query_buffer_limit(kind: Kind) {
    let server = Server::builder(kind)
        .args(&["--client-query-buffer-limit", "1mb"])
        .start();
    let mut conn = server.conn();
    let mut chunk = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$300000000\r\n".to_vec();
    chunk.extend(vec![b'x'; 4 << 20]);
    // The server may close before all is sent.
    let _ = conn.send_raw(&chunk);
    assert!(conn.is_closed() || conn.drain().is_err());
    assert_eq!(server.cmd("EXISTS a").int(), 0);
    server.conn().ok("PING");
}

fn configuration_is_rewritten(kind: Kind) {
    let text = "# first comment\nmaxmemory 50mb\n\n# second comment\ntimeout 5\n";
    let mut server = Server::builder(kind).config(text).start();
    let path = server.dir().join("redis.conf");
    server
        .conn()
        .ok("CONFIG SET maxmemory 100mb hz 50 timeout 0");
    server.conn().ok("CONFIG REWRITE");
    let rewritten = fs::read_to_string(&path).expect("the file is there");
    for line in [
        "# first comment",
        "maxmemory 100mb",
        "# second comment",
        "hz 50",
    ] {
        assert!(
            rewritten.lines().any(|found| found == line),
            "no '{line}' in\n{rewritten}"
        );
    }
    assert!(!rewritten.contains("timeout 5"), "{rewritten}");
    server.terminate();
    server.restart();
    assert_eq!(
        server.cmd("CONFIG GET maxmemory").array()[1].text(),
        "104857600"
    );
    assert_eq!(server.cmd("CONFIG GET hz").array()[1].text(), "50");
    server.conn().ok("CONFIG REWRITE");
    let again = fs::read_to_string(&path).expect("the file is there");
    // Redis 7.0 writes the default user in two forms by turns.
    let lines = |text: &str| -> Vec<String> {
        let kept = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("user "));
        kept.map(str::to_owned).collect()
    };
    assert_eq!(
        lines(&again),
        lines(&rewritten),
        "nothing changed, so nothing is rewritten"
    );
}

fn save_points_are_rewritten(kind: Kind) {
    let server = Server::builder(kind).config("save 900 1\n").start();
    let points = "3600 1 300 100 60 10000";
    let reply = server.conn().call(&["CONFIG", "SET", "save", points]);
    assert_eq!(reply.text(), "OK");
    server.conn().ok("CONFIG REWRITE");
    let path = server.dir().join("redis.conf");
    let rewritten = fs::read_to_string(path).expect("the file is there");
    let lines = rewritten.lines().filter(|line| line.starts_with("save"));
    let expected = ["save 3600 1", "save 300 100", "save 60 10000"];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

/// An option's name and value may come in one argument.
fn arguments_may_hold_name_and_value(kind: Kind) {
    let args = [
        "--maxmemory 700mb",
        "--maxmemory-policy 'volatile-lru'",
        "--hz",
        "20",
    ];
    let server = Server::builder(kind).args(&args).start();
    let mut conn = server.conn();
    let mut get = |name: &str| conn.cmd(&format!("CONFIG GET {name}")).array()[1].text();
    assert_eq!(get("maxmemory"), "734003200");
    assert_eq!(get("maxmemory-policy"), "volatile-lru");
    assert_eq!(get("hz"), "20");
}

fn nodes_conf_is_locked(kind: Kind) {
    let timeout = Duration::from_secs(15);
    let first = Server::builder(kind).cluster(timeout).start();
    let dir = first.dir().to_string_lossy().into_owned();
    let second = Server::builder(kind)
        .cluster(timeout)
        .args(&["--dir", &dir]);
    let (status, output) = second.run_to_end();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(
        output.contains("is already used by a different Redis Cluster node"),
        "{output}"
    );
    first.conn().ok("PING");
}

fn a_broken_nodes_conf_is_an_error(kind: Kind) {
    let builder = Server::builder(kind).cluster(Duration::from_secs(15));
    let path = builder.dir().join("nodes.conf");
    fs::write(path, "this is no line of a node\n").expect("a file can be written");
    let (status, output) = builder.run_to_end();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(
        output.contains("Unrecoverable error: corrupted cluster config file"),
        "{output}"
    );
}
