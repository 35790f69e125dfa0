//! One command as the table knows it: what it may do, where its keys are, who executes it.

use hexad_resp::Reply;

use crate::docs::Docs;
use crate::flags::{AclCategories, CommandFlags};
use crate::keys::{KeyFlags, KeySpec};
use crate::table::COMMANDS;
use crate::{Args, DataHandler, KeyspaceHandler};

/// How much of a client's words an error quotes, in bytes. (Redis 7.0)
const QUOTED_BYTES: usize = 128;

/// A command or subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Lower case; a subcommand's without its container's (`kill`).
    pub name: &'static str,
    /// The name with its container's, as Redis joins them: `client|kill`.
    pub(crate) full_name: &'static str,
    /// A dense number over all commands and subcommands, for per-command statistics. Not stable
    /// across versions.
    pub index: usize,
    /// The number of arguments, the name(s) included; negative: at least that many.
    pub arity: i16,
    /// What it may do.
    pub flags: CommandFlags,
    /// Its ACL categories, those implied by the flags included.
    pub acl: AclCategories,
    /// Where its keys are.
    pub key_specs: &'static [KeySpec],
    /// For commands whose key flags depend on their options.
    pub(crate) key_flags: Option<fn(&Args<'_>) -> KeyFlags>,
    /// The argument that is the first key when the specs say so for every call; 0: no such.
    pub fast_key: u8,
    /// Who executes it.
    pub handler: Handler,
    /// Hints for clients and proxies, as COMMAND INFO lists them.
    pub tips: &'static [&'static str],
    /// What COMMAND DOCS tells.
    pub docs: Docs,
    /// Its subcommands as the table is written; the flat table has them at `children`.
    pub(crate) nested: &'static [Command],
    /// The indexes of its subcommands: first and one after the last.
    pub(crate) children: (usize, usize),
}

/// Who executes a command.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Works on one partition, under its lock.
    Data(DataHandler),
    /// Visits partitions one after another.
    Keyspace(KeyspaceHandler),
    /// Needs nothing but its arguments.
    Pure(PureHandler),
    /// Belongs to the server: connections, configuration, cluster.
    Server(ServerCommand),
    /// Has subcommands and does nothing itself; [`Command::resolve`] never returns one.
    Container,
}

/// A handler of a command whose reply follows from its arguments.
pub type PureHandler = fn(&mut Reply, &Args<'_>);

/// The commands that the server itself executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the command that its name spells")]
pub enum ServerCommand {
    // Connection
    Auth,
    ClientGetName,
    ClientId,
    ClientInfo,
    ClientKill,
    ClientList,
    ClientNoEvict,
    ClientPause,
    ClientReply,
    ClientSetName,
    ClientTrackingInfo,
    ClientUnblock,
    ClientUnpause,
    Hello,
    Quit,
    Reset,
    Select,
    // Transactions
    Discard,
    Exec,
    Multi,
    Unwatch,
    Watch,
    // Server
    ConfigGet,
    ConfigResetStat,
    ConfigRewrite,
    ConfigSet,
    Debug,
    Info,
    LastSave,
    MemoryDoctor,
    MemoryMallocStats,
    MemoryPurge,
    MemoryStats,
    Role,
    // Replication
    Failover,
    Psync,
    ReplConf,
    /// Also SLAVEOF.
    ReplicaOf,
    Sync,
    Wait,
    // Server
    Shutdown,
    SlowlogGet,
    SlowlogLen,
    SlowlogReset,
    Time,
    // Cluster
    Asking,
    ClusterAddSlots,
    ClusterAddSlotsRange,
    ClusterBumpEpoch,
    ClusterCountFailureReports,
    ClusterCountKeysInSlot,
    ClusterDelSlots,
    ClusterDelSlotsRange,
    ClusterFailover,
    ClusterFlushSlots,
    ClusterForget,
    ClusterGetKeysInSlot,
    ClusterInfo,
    ClusterKeySlot,
    ClusterLinks,
    ClusterMeet,
    ClusterMyId,
    ClusterNodes,
    /// Also CLUSTER SLAVES.
    ClusterReplicas,
    ClusterReplicate,
    ClusterReset,
    ClusterSaveConfig,
    ClusterSetConfigEpoch,
    ClusterSetSlot,
    ClusterShards,
    ClusterSlots,
    ReadOnly,
    ReadWrite,
}

impl Command {
    /// Every command and subcommand; the position is the [`index`](Self::index).
    pub fn all() -> std::slice::Iter<'static, Command> {
        COMMANDS.iter()
    }

    /// The command or subcommand with this [`index`](Self::index).
    pub fn by_index(index: usize) -> Option<&'static Command> {
        COMMANDS.get(index)
    }

    /// The name with its container's: `get`, `client|kill`.
    pub const fn full_name(&self) -> &'static str {
        self.full_name
    }

    /// Whether this is a subcommand.
    pub const fn is_subcommand(&self) -> bool {
        self.name.len() < self.full_name.len()
    }

    /// Its subcommands.
    pub fn subcommands(&self) -> &'static [Command] {
        &COMMANDS[self.children.0..self.children.1]
    }

    /// Whether a call with `argc` arguments (name(s) included) has enough and not too many.
    #[inline]
    pub const fn accepts(&self, argc: usize) -> bool {
        match self.arity >= 0 {
            true => argc == self.arity as usize,
            false => argc >= self.arity.unsigned_abs() as usize,
        }
    }

    /// Whether a call with `argc` arguments needs no [`resolve`](Self::resolve): the command has no
    /// subcommands, and its arity fits.
    #[inline]
    pub const fn is_simple(&self, argc: usize) -> bool {
        self.children.0 == self.children.1 && self.accepts(argc)
    }

    /// The subcommand called `name`, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Command> {
        self.subcommands()
            .iter()
            .find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command or subcommand that `args` calls, its arity checked, or the error reply's text.
    ///
    /// `args[0]` is this command's name.
    pub fn resolve(&'static self, args: &Args<'_>) -> Result<&'static Command, Vec<u8>> {
        let command = match args.get(1) {
            Some(name) if !self.subcommands().is_empty() => match self.subcommand(name) {
                Some(command) => command,
                None => return Err(self.unknown_subcommand(name)),
            },
            _ => self,
        };
        match command.accepts(args.len()) {
            true => Ok(command),
            false => Err(command.wrong_arity().into_bytes()),
        }
    }

    /// The error for a call with too few or too many arguments.
    pub fn wrong_arity(&self) -> String {
        format!(
            "ERR wrong number of arguments for '{}' command",
            self.full_name
        )
    }
}

impl Command {
    fn unknown_subcommand(&self, name: &[u8]) -> Vec<u8> {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(quoted(name, QUOTED_BYTES));
        text.extend_from_slice(b"'. Try ");
        text.extend_from_slice(self.name.to_ascii_uppercase().as_bytes());
        text.extend_from_slice(b" HELP.");
        text
    }
}

/// The error for a call of a command that there is none of: it quotes the first arguments.
pub fn unknown_command(args: &Args<'_>) -> Vec<u8> {
    let mut quotes = Vec::with_capacity(QUOTED_BYTES);
    for arg in args.slice(1) {
        if quotes.len() >= QUOTED_BYTES {
            break;
        }
        let room = QUOTED_BYTES - quotes.len();
        quotes.push(b'\'');
        quotes.extend_from_slice(quoted(arg, room));
        quotes.extend_from_slice(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted(args.get(0).unwrap_or_default(), QUOTED_BYTES));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&quotes);
    text
}

/// At most `room` bytes of a client's word, and nothing from a NUL on, where Redis's C string ends.
fn quoted(word: &[u8], room: usize) -> &[u8] {
    let word = &word[..word.len().min(room)];
    word.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hexad_resp::ArgRange;

    use super::*;
    use crate::lookup;

    /// Calls `test` with the arguments `args`.
    fn with_args<T>(args: &[&[u8]], test: impl FnOnce(&Args<'_>) -> T) -> T {
        let buffer = args.concat();
        let mut end = 0;
        let ranges: Vec<ArgRange> = args
            .iter()
            .map(|arg| {
                end += arg.len();
                ArgRange::new(end - arg.len(), end)
            })
            .collect();
        test(&Args::new(&buffer, &ranges))
    }

    /// The name of the command that `args` resolves to, or the error; texts of Redis 7.0.15.
    fn resolved(args: &[&[u8]]) -> Result<&'static str, String> {
        with_args(args, |args| {
            let text = |text: Vec<u8>| text.escape_ascii().to_string().replace("\\'", "'");
            let command = lookup(&args[0]).ok_or_else(|| text(unknown_command(args)))?;
            command.resolve(args).map(Command::full_name).map_err(text)
        })
    }

    #[test]
    fn calls_resolve() {
        for (args, expected) in [
            (&[&b"GET"[..], b"k"][..], "get"),
            (&[b"client", b"KILL", b"x"], "client|kill"),
            (&[b"Command"], "command"),
            (&[b"command", b"Info"], "command|info"),
        ] {
            assert_eq!(resolved(args), Ok(expected));
        }
    }

    #[test]
    fn errors_of_calls() {
        for (args, expected) in [
            (
                &[&b"GET"[..]][..],
                "ERR wrong number of arguments for 'get' command",
            ),
            (
                &[b"time", b"x"],
                "ERR wrong number of arguments for 'time' command",
            ),
            (
                &[b"client"],
                "ERR wrong number of arguments for 'client' command",
            ),
            (
                &[b"CLIENT", b"kill"],
                "ERR wrong number of arguments for 'client|kill' command",
            ),
            (
                &[b"CLIENT", b"FoO"],
                "ERR unknown subcommand 'FoO'. Try CLIENT HELP.",
            ),
            (
                &[b"client", b"x\0y\r\n"],
                "ERR unknown subcommand 'x'. Try CLIENT HELP.",
            ),
            (
                &[b"command", b"count", b"x"],
                "ERR wrong number of arguments for 'command|count' command",
            ),
            (
                &[b"FOO", b"a", b"b"],
                "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ",
            ),
            (
                &[b"", b""],
                "ERR unknown command '', with args beginning with: '' ",
            ),
            (
                &[b"fo\0o", b"a\r\nb\0c", b"d"],
                "ERR unknown command 'fo', with args beginning with: 'a\\r\\nb' 'd' ",
            ),
        ] {
            assert_eq!(resolved(args), Err(expected.to_owned()));
        }
    }

    #[test]
    fn errors_quote_so_much() {
        let long = [b'x'; 300];
        let x128 = "x".repeat(128);
        assert_eq!(
            resolved(&[&long, &long, b"b"]),
            Err(format!(
                "ERR unknown command '{x128}', with args beginning with: '{x128}' "
            ))
        );
        assert_eq!(
            resolved(&[b"client", &long]),
            Err(format!("ERR unknown subcommand '{x128}'. Try CLIENT HELP."))
        );
        assert_eq!(
            resolved(&[b"foo", &long[..120], b"zzzzzzzzz", b"", b"w"]),
            Err(format!(
                "ERR unknown command 'foo', with args beginning with: '{}' 'zzzzz' ",
                &x128[..120]
            ))
        );
    }

    #[test]
    fn indexes_are_dense_and_names_are_found() {
        for (index, command) in Command::all().enumerate() {
            assert_eq!(command.index, index);
            assert!(std::ptr::eq(Command::by_index(index).unwrap(), command));
            if command.is_subcommand() {
                assert!(lookup(command.full_name().as_bytes()).is_none());
                continue;
            }
            for name in [command.name.to_owned(), command.name.to_uppercase()] {
                assert!(std::ptr::eq(lookup(name.as_bytes()).unwrap(), command));
            }
            for subcommand in command.subcommands() {
                assert_eq!(
                    subcommand.full_name(),
                    format!("{}|{}", command.name, subcommand.name)
                );
            }
        }
        for unknown in [
            &b""[..],
            b"g",
            b"ge",
            b"gett",
            b"g\0t",
            b"@et",
            b"GET ",
            &[0xff; 300],
        ] {
            assert!(lookup(unknown).is_none());
        }
    }

    #[test]
    fn simple_calls() {
        let get = lookup(b"get").unwrap();
        assert!(get.is_simple(2) && !get.is_simple(1) && !get.is_simple(3));
        let set = lookup(b"set").unwrap();
        assert!(set.is_simple(3) && set.is_simple(7) && !set.is_simple(2));
        assert!(!lookup(b"client").unwrap().is_simple(2));
        assert!(!lookup(b"command").unwrap().is_simple(1));
        assert_eq!(get.fast_key, 1);
        assert_eq!(lookup(b"ping").unwrap().fast_key, 0);
    }
}
