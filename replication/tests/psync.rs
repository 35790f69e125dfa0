//! PSYNC, SYNC and REPLCONF as a primary answers them: replies and log lines as redis-server 7.0.15
//! was seen to give them.

use hexad_replication::{
    Answer, FailoverRequest, Filter, LogLevel, OutputLimit, PsyncRequest, ReplConf, ReplId,
    Replica, ServerState, Stream, failover_request, full_resync_reply, psync, refuse_sync,
};
use hexad_resp::{ArgRange, Args};

const A: &str = "507ed712c8d3bc7c3db1c39d8efc8348162a316f";
const NAME: &str = "127.0.0.1:<unknown-replica-port>";

fn with_args<R>(args: &[&[u8]], act: impl FnOnce(Args<'_>) -> R) -> R {
    let (mut buffer, mut ranges) = (Vec::new(), Vec::new());
    for arg in args {
        ranges.push(ArgRange::new(buffer.len(), buffer.len() + arg.len()));
        buffer.extend_from_slice(arg);
    }
    act(Args::new(&buffer, &ranges))
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// Byte 1 to 324 were written, and the first block or so is gone.
fn stream() -> Stream {
    let id = ReplId::parse(A.as_bytes()).unwrap();
    let mut stream = Stream::new(id, 16 * 1024, OutputLimit::NONE);
    stream.start_backlog(id);
    stream.append_raw(&[b'x'; 324], 0);
    stream
}

fn ask(stream: &Stream, replica: &Replica, request: &str) -> (String, Vec<String>) {
    let args = words(request);
    let request = with_args(&args, |args| {
        let request = PsyncRequest::parse(args, NAME).unwrap();
        psync(stream, replica, NAME, &request)
    });
    match request {
        Answer::Continue { reply, log, next } => {
            let reply = String::from_utf8(reply).unwrap();
            (format!("{} from {next}", reply.trim_end()), vec![log.text])
        }
        Answer::Full { log } => (
            "full".to_owned(),
            log.into_iter().map(|line| line.text).collect(),
        ),
    }
}

#[test]
fn who_may_go_on_to_the_byte() {
    let stream = stream();
    let new = Replica {
        psync2: true,
        ..Replica::default()
    };
    let go_on = |next: u64, bytes: u64| {
        let answer = format!("+CONTINUE {A} from {next}");
        let log = format!(
            "Partial resynchronization request from {NAME} accepted. Sending {bytes} bytes of \
             backlog starting from offset {next}."
        );
        (answer, vec![log])
    };
    assert_eq!(ask(&stream, &new, &format!("{A} 325")), go_on(325, 0));
    assert_eq!(ask(&stream, &new, &format!("{A} 324")), go_on(324, 1));
    assert_eq!(ask(&stream, &new, &format!("{A} 1")), go_on(1, 324));
    let capitals = A.to_ascii_uppercase();
    assert_eq!(
        ask(&stream, &new, &format!("{capitals} 325")),
        go_on(325, 0)
    );
    let old = Replica::default();
    assert_eq!(
        ask(&stream, &old, &format!("{A} 325")).0,
        "+CONTINUE from 325"
    );
}

#[test]
fn who_may_not() {
    let stream = stream();
    let asks = |request: &str| {
        let (answer, log) = ask(&stream, &Replica::default(), request);
        assert_eq!(answer, "full");
        log
    };
    let lack = |next: &str| {
        format!(
            "Unable to partial resync with replica {NAME} for lack of backlog (Replica request \
             was: {next})."
        )
    };
    let beyond = format!(
        "Warning: replica {NAME} tried to PSYNC with an offset that is greater than the master \
         replication offset."
    );
    assert_eq!(asks(&format!("{A} 326")), [lack("326"), beyond.clone()]);
    assert_eq!(
        asks(&format!("{A} 9223372036854775807")),
        [lack("9223372036854775807"), beyond]
    );
    assert_eq!(asks(&format!("{A} 0")), [lack("0")]);
    assert_eq!(asks(&format!("{A} -1")), [lack("-1")]);
    assert_eq!(
        asks("? -1"),
        [format!("Full resync requested by replica {NAME}")]
    );
    assert_eq!(
        asks("?x 5"),
        [format!("Full resync requested by replica {NAME}")]
    );
    assert_eq!(
        asks("foo 5"),
        [format!(
            "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for \
             'foo', my replication IDs are '{A}' and '{}')",
            "0".repeat(40)
        )]
    );
    assert_eq!(
        asks(&format!("{} 5", "0".repeat(40))),
        [
            "Partial resynchronization not accepted: Requested offset for second ID was 5, but I can \
          reply up to -1"
        ]
    );
}

#[test]
fn the_second_id_counts_up_to_the_promotion() {
    let mut stream = stream();
    let log = stream.promote(ReplId::from_random([7; 20]));
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].level, LogLevel::Warning);
    stream.append_raw(b"more", 0);
    let replica = Replica::default();
    assert_eq!(
        ask(&stream, &replica, &format!("{A} 325")).0,
        "+CONTINUE from 325"
    );
    assert_eq!(
        ask(&stream, &replica, &format!("{A} 326")).1,
        [
            "Partial resynchronization not accepted: Requested offset for second ID was 326, but I \
          can reply up to 325"
        ]
    );
}

#[test]
fn the_old_primary_may_not_know_which_database_is_selected() {
    let mut old = stream();
    old.append_raw(b"", 3);
    let (id, offset) = (old.history().id(), old.offset());
    let mut new = Stream::new(id, 16 * 1024, OutputLimit::NONE);
    new.adopt(id, offset, 3);
    // Another replica begins a full synchronisation.
    old.forget_db();
    old.demote();
    let log: Vec<_> = new.promote(ReplId::from_random([7; 20]));
    assert_eq!(log[0].text, "Discarding previously cached master state.");
    assert_eq!(old.wanted(), Some((id, offset + 1)));
    let reader = new.attach(offset + 1).unwrap();
    new.append_command(3, [&b"FLUSHDB"[..]]);
    let mut out = Vec::new();
    new.read(reader, usize::MAX, &mut out).unwrap();
    assert!(
        out.concat()
            .starts_with(b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n")
    );
}

#[test]
fn a_backlog_that_is_not_there_serves_nobody() {
    let id = ReplId::parse(A.as_bytes()).unwrap();
    let mut stream = Stream::new(id, 1 << 20, OutputLimit::NONE);
    let (answer, _) = ask(&stream, &Replica::default(), &format!("{A} 1"));
    assert_eq!(answer, "full");
    let new = ReplId::from_random([0xab; 20]);
    let line = stream.start_backlog(new).unwrap();
    assert_eq!(
        line.text,
        format!(
            "Replication backlog created, my new replication IDs are '{new}' and '{}'",
            "0".repeat(40)
        )
    );
    assert_eq!(stream.start_backlog(id), None);
    let reply = String::from_utf8(full_resync_reply(stream.history())).unwrap();
    assert_eq!(reply, format!("+FULLRESYNC {new} 0\r\n"));
}

#[test]
fn a_wrong_offset() {
    let (error, line) = with_args(&words("? x"), |args| {
        PsyncRequest::parse(args, NAME).unwrap_err()
    });
    assert_eq!(error, "ERR value is not an integer or out of range");
    assert_eq!(
        line.text,
        format!("Replica {NAME} asks for synchronization but with a wrong offset")
    );
}

#[test]
fn what_stands_against_any_synchronisation() {
    let refuse = |state: &ServerState| refuse_sync(state, &Replica::default());
    let mut state = ServerState::default();
    assert_eq!(refuse(&state), None);
    state.pending_output = true;
    assert_eq!(
        refuse(&state),
        Some("ERR SYNC and PSYNC are invalid with pending output")
    );
    state.is_replica = true;
    assert_eq!(
        refuse(&state),
        Some("NOMASTERLINK Can't SYNC while not connected with my master")
    );
    state.failing_over = true;
    assert_eq!(
        refuse(&state),
        Some("NOMASTERLINK Can't SYNC while failing over")
    );
    let linked = ServerState {
        is_replica: true,
        link_up: true,
        ..ServerState::default()
    };
    assert_eq!(refuse(&linked), None);
    let filtered = Replica {
        filter: Some(Filter::default()),
        ..Replica::default()
    };
    assert_eq!(
        refuse_sync(&linked, &filtered),
        Some("ERR Filtered replica requires EOF capability")
    );
    let eof = Replica {
        eof: true,
        ..filtered
    };
    assert_eq!(refuse_sync(&linked, &eof), None);
}

#[test]
fn a_primary_that_hands_over() {
    let stream = stream();
    let ask = |line: &str, is_replica| {
        with_args(&words(line), |args| {
            failover_request(args, stream.history(), is_replica)
        })
    };
    assert_eq!(ask("? -1", true), (FailoverRequest::None, None));
    assert_eq!(ask("? -1 other", true), (FailoverRequest::None, None));
    let (request, line) = ask(&format!("{A} 325 failover"), true);
    assert_eq!(request, FailoverRequest::Promote);
    assert_eq!(
        line.unwrap().text,
        format!("Failover request received for replid {A}.")
    );
    assert_eq!(
        ask(&format!("{A} 325 FAILOVER"), false).0,
        FailoverRequest::Refuse("ERR PSYNC FAILOVER can't be sent to a master.")
    );
    assert_eq!(
        ask("? -1 FAILOVER", true).0,
        FailoverRequest::Refuse("ERR PSYNC FAILOVER replid must match my replid.")
    );
}

// ---- REPLCONF ------------------------------------------------------------------------------------

fn replconf(replica: &mut Replica, args: &[&[u8]]) -> Result<ReplConf, String> {
    match with_args(args, |args| replica.replconf(args)) {
        ReplConf::Error(text) => Err(String::from_utf8(text).unwrap()),
        reply => Ok(reply),
    }
}

#[test]
fn replconf_replies() {
    let long = [b'a'; 256];
    type Case<'a> = (&'a [&'a [u8]], Result<ReplConf, &'a str>);
    let not_an_integer = Err("ERR value is not an integer or out of range");
    let cases: &[Case<'_>] = &[
        (&[], Ok(ReplConf::Ok)),
        (&[b"a"], Err("ERR syntax error")),
        (&[b"listening-port", b"abc"], not_an_integer.clone()),
        (&[b"LISTENING-port", b"-5"], Ok(ReplConf::Ok)),
        (&[b"ip-address", &long[1..]], Ok(ReplConf::Ok)),
        (
            &[b"ip-address", &long],
            Err("ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes"),
        ),
        (&[b"capa", b"eof", b"capa", b"psync2"], Ok(ReplConf::Ok)),
        (&[b"capa", b"foo"], Ok(ReplConf::Ok)),
        (
            &[b"version", b"8.0.0"],
            Err("ERR Unrecognized REPLCONF option: version"),
        ),
        (&[b"ack", b"12"], Ok(ReplConf::Ack(12))),
        (&[b"ack", b"-12"], Ok(ReplConf::Nothing)),
        (&[b"ack", b"x"], Ok(ReplConf::Nothing)),
        (&[b"getack", b"*"], Ok(ReplConf::GetAck)),
        (
            &[b"rdb-only", b"2"],
            Err("ERR value is out of range, value must between 0 and 1"),
        ),
        (&[b"rdb-only", b"x"], not_an_integer),
        (&[b"rdb-only", b"1"], Ok(ReplConf::Ok)),
        (&[b"rdb-filter-only", b""], Ok(ReplConf::Ok)),
        (
            &[b"rdb-filter-only", b"a b"],
            Err("ERR Unsupported rdb-filter-only option: a"),
        ),
        (
            &[b"rdb-filter-only", b"functions '"],
            Err("ERR Missing rdb-filter-only values"),
        ),
        (
            &[b"listening-port", b"12", b"foo", b"bar"],
            Err("ERR Unrecognized REPLCONF option: foo"),
        ),
    ];
    for (args, expected) in cases {
        let reply = replconf(&mut Replica::default(), args);
        assert_eq!(reply, expected.clone().map_err(str::to_owned), "{args:?}");
    }
}

#[test]
fn what_replconf_leaves() {
    let mut replica = Replica::default();
    assert_eq!(replica.name("1.2.3.4"), "1.2.3.4:<unknown-replica-port>");
    let options: [&[u8]; 12] = [
        b"listening-port",
        b"7777",
        b"ip-address",
        b"hos\nt",
        b"capa",
        b"EOF",
        b"capa",
        b"psync2",
        b"rdb-only",
        b"1",
        b"rdb-filter-only",
        b"functions",
    ];
    assert_eq!(replconf(&mut replica, &options), Ok(ReplConf::Ok));
    let expected = Replica {
        listening_port: 7777,
        announced_ip: Some(b"hos\nt".to_vec()),
        eof: true,
        psync2: true,
        rdb_only: true,
        filter: Some(Filter { functions: true }),
    };
    assert_eq!(replica, expected);
    assert_eq!(replica.name("1.2.3.4"), "hos\\nt:7777");
    // What stands before a wrong option has been taken.
    let _ = replconf(&mut replica, &[b"rdb-only", b"0", b"foo", b"bar"]);
    assert!(!replica.rdb_only);
    let _ = replconf(&mut replica, &[b"ip-address", b""]);
    assert_eq!(replica.announced_ip, None);
}
