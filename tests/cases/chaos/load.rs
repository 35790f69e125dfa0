//! Clients that write without pause, and the ledger of what they were told.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hexad_tests::{Conn, Value};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::ledger::{Fate, Log, Window};

/// Clients at work.
const CLIENTS: u64 = 4;
/// Keys to which a client appends between two checks.
const KEYS: usize = 40;
/// Rest between two commands: the machine's cores are for the servers, too.
const REST: Duration = Duration::from_micros(700);
/// Rest after a command that found no node to do it.
const REFUSED_REST: Duration = Duration::from_millis(20);
/// An answer that has not come by then does not count any more.
const TIMEOUT: Duration = Duration::from_millis(400);
/// How many redirections a command follows.
const REDIRECTIONS: usize = 5;

/// The keys of one client and what it knows of them.
#[derive(Debug, Default)]
struct Book {
    /// Keys grow with a number: the check after each fault makes new ones.
    generation: u32,
    /// What was written since the check before the last.
    logs: HashMap<String, (u32, Log)>,
    /// The final values of older keys.
    settled: HashMap<String, String>,
}

/// The clients.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    nodes: Vec<SocketAddr>,
    books: Vec<Mutex<Book>>,
    /// Each command holds it for reading.
    gate: RwLock<()>,
    ended: AtomicBool,
    /// What clients read and must not have.
    breaches: Mutex<Vec<String>>,
}

/// What a check of the ledger has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Writes that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Those that WAIT acknowledged, too.
    pub(crate) everywhere: usize,
    /// Those that are lost, as a window admits.
    pub(crate) lost: usize,
    /// Keys that were compared.
    pub(crate) keys: usize,
}

impl Load {
    /// Starts the clients.
    pub(crate) fn start(nodes: Vec<SocketAddr>, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            nodes,
            books: (0..CLIENTS).map(|_| Mutex::default()).collect(),
            gate: RwLock::new(()),
            ended: AtomicBool::new(false),
            breaches: Mutex::default(),
        });
        let start = |number| {
            let shared = Arc::clone(&shared);
            let rng = SmallRng::seed_from_u64(seed ^ number << 32);
            thread::spawn(move || Client::new(&shared, number, rng).run())
        };
        let clients = (0..CLIENTS).map(start).collect();
        Self { shared, clients }
    }

    /// Stops the clients for as long as the guard lives.
    pub(crate) fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.gate.write().expect("no client panics")
    }

    /// Compares what the clients were told since the check before the last with the data, and
    /// gives them new keys. The clients rest. An error tells what is not as it must be.
    pub(crate) fn check(&self, windows: &[Window]) -> Result<Tally, String> {
        let breaches = self.shared.breaches.lock().expect("no client panics");
        if !breaches.is_empty() {
            return Err(breaches.join("\n"));
        }
        let mut tally = Tally::default();
        let mut reader = Wire::new(&self.shared.nodes);
        for book in &self.shared.books {
            let mut book = book.lock().expect("no client panics");
            let book = &mut *book;
            let old = book.generation;
            book.generation += 1;
            for (key, (_, log)) in &book.logs {
                let value = reader.value(key);
                let lost = log.check_final(&value, windows).map_err(|breach| {
                    format!("{key}: {breach}\nvalue: {value}\n{log:#?}\n{windows:#?}")
                })?;
                let (acknowledged, everywhere) = log.acknowledged();
                tally.acknowledged += acknowledged;
                tally.everywhere += everywhere;
                tally.lost += lost.len();
                tally.keys += 1;
            }
            let done = book.logs.extract_if(|_, (generation, _)| *generation < old);
            let done: Vec<String> = done.map(|(key, _)| key).collect();
            for key in done {
                let value = reader.value(&key);
                book.settled.insert(key, value);
            }
        }
        Ok(tally)
    }

    /// Ends the clients, and compares all data there are with the ledger. Gives the number of keys
    /// that were checked before and are as they were.
    pub(crate) fn finish(mut self, windows: &[Window]) -> Result<usize, String> {
        self.shared.ended.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            client.join().expect("no client panics");
        }
        self.check(windows)?;
        let mut reader = Wire::new(&self.shared.nodes);
        let mut settled = 0;
        for book in &self.shared.books {
            for (key, expected) in &book.lock().expect("no client panics").settled {
                let value = reader.value(key);
                if &value != expected {
                    return Err(format!("{key} was {expected} at its check and is {value}"));
                }
                settled += 1;
            }
        }
        Ok(settled)
    }

    /// Takes the last write away from a key, behind the clients' backs, as a server would that has
    /// a fault; gives the key.
    pub(crate) fn drop_a_write(&self) -> String {
        let mut wire = Wire::new(&self.shared.nodes);
        let book = self.shared.books[0].lock().expect("no client panics");
        let keys = book.logs.keys();
        let mut values = keys.map(|key| (key.clone(), wire.value(key)));
        let (key, value) = values
            .find(|(_, value)| !value.is_empty())
            .expect("a write");
        let body = value.trim_end_matches(';');
        let kept = body.rfind(';').map_or("", |end| &body[..=end]);
        let answer = wire.call(&["SET", &key, kept]);
        assert!(
            matches!(answer, Answer::Reply { .. }),
            "{key} cannot be set"
        );
        key
    }
}

/// Fills a cluster, so that there is something to synchronise.
pub(crate) fn fill(nodes: &[SocketAddr], keys: usize) {
    const AT_ONCE: usize = 100;
    let mut wire = Wire::new(nodes);
    let value = "x".repeat(200);
    for tag in 0..keys / AT_ONCE {
        let names: Vec<_> = (0..AT_ONCE)
            .map(|n| format!("fill:{{{tag}}}:{n}"))
            .collect();
        let mut args = vec!["MSET"];
        args.extend(names.iter().flat_map(|name| [name.as_str(), &value]));
        let answer = wire.call(&args);
        assert!(
            matches!(answer, Answer::Reply { .. }),
            "the cluster can be filled"
        );
    }
}

/// One client.
struct Client<'a> {
    shared: &'a Shared,
    number: u64,
    rng: SmallRng,
    wire: Wire<'a>,
}

impl<'a> Client<'a> {
    fn new(shared: &'a Shared, number: u64, rng: SmallRng) -> Self {
        let wire = Wire::new(&shared.nodes);
        Self {
            shared,
            number,
            rng,
            wire,
        }
    }

    fn run(&mut self) {
        while !self.shared.ended.load(Ordering::Relaxed) {
            let found = {
                let _pass = self.shared.gate.read().expect("no client panics");
                self.step()
            };
            thread::sleep(if found { REST } else { REFUSED_REST });
        }
    }

    /// Does something; tells whether a node was there to do it.
    fn step(&mut self) -> bool {
        match self.rng.random_range(0..100) {
            0..80 => self.append(),
            80..88 => self.read(),
            _ => self.make_noise(),
        }
    }

    fn book(&self) -> MutexGuard<'a, Book> {
        let books = &self.shared.books;
        books[self.number as usize].lock().expect("no panic")
    }

    fn key(&mut self) -> String {
        let key = self.rng.random_range(0..KEYS);
        let generation = self.book().generation;
        format!("log:{}:{generation}:{key}", self.number)
    }

    /// Appends to a key; some of these writes are followed by WAIT.
    fn append(&mut self) -> bool {
        let key = self.key();
        let (number, text) = {
            let mut book = self.book();
            let generation = book.generation;
            let (_, log) = book
                .logs
                .entry(key.clone())
                .or_insert((generation, Log::default()));
            log.begin()
        };
        let wait = self.rng.random_bool(0.15);
        let mut fate = self.wire.call(&["APPEND", &key, &text]).fate();
        if let Fate::Acknowledged { by, everywhere, .. } = &mut fate
            && wait
        {
            *everywhere = self.wire.wait_for_replicas(*by);
        }
        let mut book = self.book();
        let (_, log) = book.logs.get_mut(&key).expect("it was entered");
        log.settle(number, fate);
        !matches!(fate, Fate::Refused)
    }

    fn read(&mut self) -> bool {
        let key = self.key();
        let Answer::Reply { value, by, .. } = self.wire.call(&["GET", &key]) else {
            return false;
        };
        let book = self.book();
        let Some((_, log)) = book.logs.get(&key) else {
            return true;
        };
        if let Err(breach) = log.check_read(&value.text()) {
            let mut text = format!("{key} was read from {by}: {breach}\n");
            let _ = write!(text, "value: {}\n{log:?}", value.text());
            self.shared.breaches.lock().expect("no panic").push(text);
        }
        true
    }

    /// Other commands, for the comparison of primaries with replicas only.
    fn make_noise(&mut self) -> bool {
        let number = self.rng.random_range(0..200);
        let key = format!("noise:{}:{number}", self.number);
        let answer = match self.rng.random_range(0..6) {
            0 => self.wire.call(&["SET", &key, "short", "PX", "150"]),
            1 => self.wire.call(&["SET", &key, "12"]),
            2 => self.wire.call(&["INCRBYFLOAT", &key, "0.1"]),
            3 => self.wire.call(&["PEXPIRE", &key, "300"]),
            4 => self.wire.call(&["GETDEL", &key]),
            _ => self.wire.call(&["SETRANGE", &key, "3", "12345678"]),
        };
        matches!(answer, Answer::Reply { .. })
    }
}

/// What came of a command.
enum Answer {
    /// It was done, as the node on this port said.
    Reply { value: Value, by: u16, at: Instant },
    /// It was not done.
    Refused,
    /// No answer came.
    Nothing,
}

impl Answer {
    fn fate(&self) -> Fate {
        match *self {
            Self::Reply { by, at, .. } => Fate::Acknowledged {
                by,
                at,
                everywhere: false,
            },
            Self::Refused => Fate::Refused,
            Self::Nothing => Fate::Unknown,
        }
    }
}

/// A client's connections, and where it believes keys to be.
struct Wire<'a> {
    nodes: &'a [SocketAddr],
    conns: HashMap<u16, Conn>,
    places: HashMap<String, u16>,
    /// Who is asked about a key of which nothing is known.
    next: usize,
}

impl<'a> Wire<'a> {
    fn new(nodes: &'a [SocketAddr]) -> Self {
        let (conns, places) = (HashMap::new(), HashMap::new());
        Self {
            nodes,
            conns,
            places,
            next: 0,
        }
    }

    /// Runs a command on the node that has its key.
    fn call(&mut self, args: &[&str]) -> Answer {
        let key = args[1];
        let mut asking = false;
        for _ in 0..REDIRECTIONS {
            let port = self.places.get(key).copied().unwrap_or_else(|| {
                self.next = (self.next + 1) % self.nodes.len();
                self.nodes[self.next].port()
            });
            let Ok(conn) = self.conn(port) else {
                self.places.remove(key);
                return Answer::Refused;
            };
            let reply = if asking {
                conn.try_call(&["ASKING"]).and_then(|_| conn.try_call(args))
            } else {
                conn.try_call(args)
            };
            let Ok(reply) = reply else {
                self.conns.remove(&port);
                self.places.remove(key);
                return Answer::Nothing;
            };
            let Value::Error(text) = &reply else {
                self.places.insert(key.to_owned(), port);
                return Answer::Reply {
                    value: reply,
                    by: port,
                    at: Instant::now(),
                };
            };
            let Some(place) = redirection(text) else {
                self.places.remove(key);
                return Answer::Refused;
            };
            asking = text.starts_with("ASK ");
            self.places.insert(key.to_owned(), place);
        }
        self.places.remove(key);
        Answer::Refused
    }

    /// Whether all replicas of the node (each has one) have what was last written to it.
    fn wait_for_replicas(&mut self, port: u16) -> bool {
        let Some(conn) = self.conns.get_mut(&port) else {
            return false;
        };
        match conn.try_call(&["WAIT", "1", "200"]) {
            Ok(Value::Int(count)) => count >= 1,
            Ok(_) => false,
            Err(_) => {
                self.conns.remove(&port);
                false
            }
        }
    }

    /// The value of a key in a cluster that is well.
    fn value(&mut self, key: &str) -> String {
        for _ in 0..20 {
            if let Answer::Reply { value, .. } = self.call(&["GET", key]) {
                return value.text();
            }
        }
        panic!("no node gives the value of {key}");
    }

    fn conn(&mut self, port: u16) -> io::Result<&mut Conn> {
        if !self.conns.contains_key(&port) {
            let node = self.nodes.iter().find(|node| node.port() == port);
            let conn = Conn::open_at(*node.ok_or(io::ErrorKind::NotFound)?, TIMEOUT)?;
            self.conns.insert(port, conn);
        }
        Ok(self.conns.get_mut(&port).expect("it is there"))
    }
}

/// The port in a MOVED or ASK error.
fn redirection(error: &str) -> Option<u16> {
    let mut words = error.split(' ');
    matches!(words.next(), Some("MOVED" | "ASK")).then_some(())?;
    words.nth(1)?.rsplit(':').next()?.parse().ok()
}
