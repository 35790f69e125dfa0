//! Invariant 18: the same replication id and offset means the same data, and +CONTINUE is answered
//! on shared history only.
//!
//! Some servers write, follow each other, lose links in the middle of anything, take over, hand
//! over, free backlogs and restart from files, at random. Each keeps the list of all commands that
//! its data come from, which the protocol never sees. Whenever a replica has caught up, the two
//! lists have to be equal.

use hexad_replication::{
    Answer, Incoming, IncomingLimits, OutputLimit, PsyncRequest, ReaderId, ReplId, Replica, Saved,
    Stream, psync,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

type Command = (u32, Vec<Vec<u8>>);

struct Server {
    stream: Stream,
    data: Vec<Command>,
    link: Option<Link>,
    /// Follows this server, linked or not.
    primary: Option<usize>,
    file: Option<(Option<Saved>, Vec<Command>)>,
}

struct Link {
    reader: ReaderId,
    incoming: Incoming,
}

struct World {
    rng: SmallRng,
    servers: Vec<Server>,
    writes: u64,
    continued: usize,
    full: usize,
    compared: usize,
}

fn server(rng: &mut SmallRng) -> Server {
    Server {
        stream: Stream::new(new_id(rng), 16 * 1024, OutputLimit::NONE),
        data: Vec::new(),
        link: None,
        primary: None,
        file: None,
    }
}

fn new_id(rng: &mut SmallRng) -> ReplId {
    ReplId::from_random(rng.random())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let servers = (0..4).map(|_| server(&mut rng)).collect();
        Self {
            rng,
            servers,
            writes: 0,
            continued: 0,
            full: 0,
            compared: 0,
        }
    }

    fn step(&mut self) {
        let at = self.rng.random_range(0..self.servers.len());
        match self.rng.random_range(0..100) {
            0..35 => self.write(at),
            35..70 => self.follow(at),
            70..78 => self.unlink(at),
            78..84 => self.promote(at),
            84..91 => self.demote(at),
            91..94 => self.save(at),
            94..97 => self.restart(at),
            _ => self.lose_backlog(at),
        }
    }

    fn write(&mut self, at: usize) {
        if self.servers[at].primary.is_some() {
            return;
        }
        let transaction = self.rng.random_bool(0.2);
        let count = if transaction {
            self.rng.random_range(2..5)
        } else {
            1
        };
        let server = &mut self.servers[at];
        for nth in 0..count {
            self.writes += 1;
            let db = self.rng.random_range(0..3);
            let value = vec![b'v'; self.rng.random_range(0..1500)];
            let args = vec![b"SET".to_vec(), self.writes.to_string().into_bytes(), value];
            if transaction && nth == 0 {
                server.stream.append_multi(db);
            }
            server
                .stream
                .append_command(db, args.iter().map(Vec::as_slice));
            server.data.push((db, args));
        }
        if transaction {
            server.stream.append_exec();
        }
        if self.rng.random_bool(0.1) {
            server.stream.append_ping();
        }
    }

    /// A replica connects if it is not, or takes some more of the stream.
    fn follow(&mut self, at: usize) {
        let Some(primary) = self.servers[at].primary else {
            return;
        };
        let serves =
            self.servers[primary].primary.is_none() || self.servers[primary].link.is_some();
        if self.servers[at].link.is_none() {
            if serves {
                self.connect(at, primary);
            }
            return;
        }
        let max = self.rng.random_range(1..4000);
        let [replica, primary] = self.servers.get_disjoint_mut([at, primary]).unwrap();
        let link = replica.link.as_mut().unwrap();
        let mut out = Vec::new();
        let Ok(bytes) = primary.stream.read(link.reader, max, &mut out) else {
            replica.link = None;
            return;
        };
        primary.stream.advance(link.reader, bytes).unwrap();
        link.incoming.feed(&out.concat());
        while link.incoming.cut(3).unwrap() || link.incoming.units().next().is_some() {
            let mut end = link.incoming.offset();
            for unit in link.incoming.units() {
                for (db, args) in unit.commands() {
                    replica
                        .data
                        .push((db, args.iter().map(<[u8]>::to_vec).collect()));
                }
                replica.stream.append_raw(unit.raw, unit.db);
                end = unit.end;
                assert_eq!(replica.stream.offset(), end, "offsets have parted");
            }
            link.incoming.applied(end);
        }
        if replica.stream.offset() == primary.stream.offset() {
            assert!(replica.data == primary.data, "the same offset, other data");
            assert_eq!(replica.stream.history().id(), primary.stream.history().id());
            self.compared += 1;
        }
    }

    fn connect(&mut self, at: usize, primary: usize) {
        let id = new_id(&mut self.rng);
        let psync2 = Replica {
            psync2: true,
            ..Replica::default()
        };
        let [replica, primary] = self.servers.get_disjoint_mut([at, primary]).unwrap();
        let wanted = replica.stream.wanted();
        let request = PsyncRequest {
            id: wanted.as_ref().map_or(b"?", |(id, _)| id.as_bytes()),
            next: wanted.map_or(-1, |(_, next)| next as i64),
        };
        match psync(&primary.stream, &psync2, "r", &request) {
            Answer::Continue { reply, next, .. } => {
                let shared = replica.data.len();
                assert!(
                    primary.data.len() >= shared && primary.data[..shared] == replica.data,
                    "+CONTINUE without shared history"
                );
                let id = ReplId::parse(&reply[10..50]).unwrap();
                if replica.stream.resume(Some(id)) {
                    self.continued += 1;
                }
                replica.link = primary.stream.attach(next).map(|reader| Link {
                    reader,
                    incoming: Incoming::new(
                        replica.stream.offset(),
                        replica.stream.db().unwrap_or(0),
                        IncomingLimits::default(),
                    ),
                });
                assert!(replica.link.is_some());
            }
            Answer::Full { .. } => {
                self.full += 1;
                if primary.primary.is_none() {
                    primary.stream.start_backlog(id);
                    primary.stream.forget_db();
                }
                let (id, saved) = (
                    primary.stream.history().id(),
                    primary.stream.saved().unwrap(),
                );
                replica.stream.begin_full_sync();
                if self.rng.random_bool(0.1) {
                    // The load fails: the data are gone, and nothing can be continued.
                    replica.data.clear();
                    assert_eq!(replica.stream.wanted(), None);
                    return;
                }
                let reader = primary.stream.attach(saved.offset + 1).unwrap();
                replica.data.clone_from(&primary.data);
                replica.stream.adopt(id, saved.offset, saved.db);
                replica.link = Some(Link {
                    reader,
                    incoming: Incoming::new(saved.offset, saved.db, IncomingLimits::default()),
                });
            }
        }
    }

    fn unlink(&mut self, at: usize) {
        let primary = self.servers[at].primary;
        if let (Some(link), Some(primary)) = (self.servers[at].link.take(), primary) {
            self.servers[primary].stream.detach(link.reader);
        }
    }

    fn promote(&mut self, at: usize) {
        if self.servers[at].primary.is_some() {
            self.unlink(at);
            let id = new_id(&mut self.rng);
            self.servers[at].stream.promote(id);
            self.servers[at].primary = None;
        }
    }

    /// A primary becomes a replica, or a replica follows another server.
    fn demote(&mut self, at: usize) {
        let to = self.rng.random_range(0..self.servers.len());
        let mut above = Some(to);
        while let Some(server) = above {
            if server == at {
                return;
            }
            above = self.servers[server].primary;
        }
        self.unlink(at);
        let server = &mut self.servers[at];
        if server.primary.is_none() {
            server.stream.demote();
        }
        server.primary = Some(to);
    }

    fn save(&mut self, at: usize) {
        let server = &mut self.servers[at];
        server.file = Some((server.stream.saved(), server.data.clone()));
    }

    /// Restarts, in the role that it had, with what is in the file.
    fn restart(&mut self, at: usize) {
        self.unlink(at);
        let primary = self.servers[at].primary;
        let file = self.servers[at].file.take();
        let mut new = server(&mut self.rng);
        new.primary = primary;
        if let Some((saved, data)) = file {
            new.data.clone_from(&data);
            match (saved, primary) {
                (Some(saved), None) => {
                    let id = new_id(&mut self.rng);
                    new.stream.restore_primary(id, &saved);
                }
                (Some(saved), Some(_)) => new.stream.restore_replica(&saved),
                (None, _) => {}
            }
            new.file = Some((saved, data));
        }
        // The connections of its replicas break with it.
        for other in 0..self.servers.len() {
            if self.servers[other].primary == Some(at) {
                self.servers[other].link = None;
            }
        }
        self.servers[at] = new;
    }

    fn lose_backlog(&mut self, at: usize) {
        if self.servers[at].primary.is_none() && !self.servers[at].stream.has_readers() {
            let id = new_id(&mut self.rng);
            let stream = &mut self.servers[at].stream;
            stream.tick_primary(0, 0, 1, id);
            stream.tick_primary(10, 0, 1, id);
            stream.tick_primary(10, 1, 1, id);
        }
    }
}

#[test]
fn data_follow_from_id_and_offset() {
    let (mut continued, mut full, mut compared) = (0, 0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.step();
        }
        continued += world.continued;
        full += world.full;
        compared += world.compared;
    }
    // The test is worth something: failovers were continued, and much was compared.
    assert!(continued > 500, "{continued}");
    assert!(full > 5000, "{full}");
    assert!(compared > 10_000, "{compared}");
}
