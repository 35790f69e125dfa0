//! Commands that need nothing but their arguments: PING, ECHO, and the HELP subcommands.
//!
//! A HELP reply names each subcommand as stock clients expect to see it; the descriptions are our
//! own.

use hexad_resp::Reply;

use crate::{Args, lookup};

/// `PING [message]`
pub(crate) fn ping(reply: &mut Reply, args: &Args<'_>) {
    match args.len() {
        1 => reply.simple("PONG"),
        2 => reply.bulk(&args[1]),
        _ => reply.error("ERR wrong number of arguments for 'ping' command"),
    }
}

/// `ECHO message`
pub(crate) fn echo(reply: &mut Reply, args: &Args<'_>) {
    reply.bulk(&args[1]);
}

/// `CLIENT HELP`
pub(crate) fn client_help(reply: &mut Reply, args: &Args<'_>) {
    write_help(
        reply,
        args,
        &[
            "GETNAME",
            "    Name of this connection.",
            "ID",
            "    Number of this connection.",
            "INFO",
            "    This connection, described in one line.",
            "KILL <ip:port>",
            "    Close the connection from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Close the connections that fit all of these:",
            "    * ADDR (<ip:port>|<unixsocket>:0)",
            "      Remote address.",
            "    * LADDR (<ip:port>|<unixsocket>:0)",
            "      Local address.",
            "    * ID <client-id>",
            "      Number.",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kind of client.",
            "    * USER <username>",
            "      Authenticated user.",
            "    * SKIPME (YES|NO)",
            "      Whether to spare this connection (yes, unless told otherwise).",
            "LIST [options ...]",
            "    All connections, a line each. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Those of one kind.",
            "    * ID <client-id> [<client-id> ...]",
            "      Those with these numbers.",
            "NO-EVICT (ON|OFF)",
            "    Whether this connection is exempt from eviction of clients.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold back write commands, or all, for <timeout> milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Whether commands of this connection are answered.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKINGINFO",
            "    State of client-side caching for this connection.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    Wake up a client that waits in a command.",
            "UNPAUSE",
            "    End a pause.",
        ],
    );
}

/// `COMMAND HELP`
pub(crate) fn command_help(reply: &mut Reply, args: &Args<'_>) {
    write_help(
        reply,
        args,
        &[
            "(no subcommand)",
            "    Facts about every command.",
            "COUNT",
            "    Number of commands.",
            "DOCS [<command-name> ...]",
            "    Documentation of these commands, or of all.",
            "GETKEYS <full-command>",
            "    Keys of a command line.",
            "GETKEYSANDFLAGS <full-command>",
            "    Keys of a command line, and what it does to each.",
            "INFO [<command-name> ...]",
            "    Facts about these commands, or about all.",
            "LIST [FILTERBY (MODULE|ACLCAT|PATTERN) <filter>]",
            "    Names of all commands, or of those that pass the filter.",
        ],
    );
}

/// `CONFIG HELP`
pub(crate) fn config_help(reply: &mut Reply, args: &Args<'_>) {
    write_help(
        reply,
        args,
        &[
            "GET <pattern> [<pattern> ...]",
            "    Directives whose names match, with their values.",
            "RESETSTAT",
            "    Start the statistics of INFO anew.",
            "REWRITE",
            "    Save the configuration to its file.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change directives, all or none.",
        ],
    );
}

/// `MEMORY HELP`
pub(crate) fn memory_help(reply: &mut Reply, args: &Args<'_>) {
    write_help(
        reply,
        args,
        &[
            "DOCTOR",
            "    Problems with memory, if there are any.",
            "MALLOC-STATS",
            "    Report of the allocator.",
            "PURGE",
            "    Have the allocator return unused pages.",
            "STATS",
            "    What the memory is used for.",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes that <key> and its value take. Of a nested value <count> elements are",
            "    measured (0: all).",
        ],
    );
}

/// `SLOWLOG HELP`
pub(crate) fn slowlog_help(reply: &mut Reply, args: &Args<'_>) {
    write_help(
        reply,
        args,
        &[
            "GET [<count>]",
            "    Newest <count> entries (10, unless told otherwise; -1: all). An entry has: id,",
            "    Unix time, duration in microseconds, arguments, client address, client name.",
            "LEN",
            "    Number of entries.",
            "RESET",
            "    Delete all entries.",
        ],
    );
}

/// `CLUSTER HELP`
pub(crate) fn cluster_help(reply: &mut Reply, args: &Args<'_>) {
    write_help(
        reply,
        args,
        &[
            "ADDSLOTS <slot> [<slot> ...]",
            "    Take unowned slots.",
            "ADDSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
            "    Take ranges of unowned slots.",
            "BUMPEPOCH",
            "    Take a configuration epoch above all others.",
            "COUNT-FAILURE-REPORTS <node-id>",
            "    Number of nodes that report <node-id> as failing.",
            "COUNTKEYSINSLOT <slot>",
            "    Number of keys in <slot>.",
            "DELSLOTS <slot> [<slot> ...]",
            "    Make slots unowned here.",
            "DELSLOTSRANGE <start slot> <end slot> [<start slot> <end slot> ...]",
            "    Make ranges of slots unowned here.",
            "FAILOVER [FORCE|TAKEOVER]",
            "    Have this replica replace its primary.",
            "FLUSHSLOTS",
            "    Drop all slots of this node.",
            "FORGET <node-id>",
            "    Remove a node from this node's view.",
            "GETKEYSINSLOT <slot> <count>",
            "    Up to <count> keys in <slot>.",
            "INFO",
            "    State of the cluster.",
            "KEYSLOT <key>",
            "    Slot of <key>.",
            "LINKS",
            "    Bus connections with their buffers.",
            "MEET <ip> <port> [<bus-port>]",
            "    Join the cluster of another node.",
            "MYID",
            "    Id of this node.",
            "NODES",
            "    Nodes as this node sees them, in lines of:",
            "    <id> <ip:port@bus-port[,hostname]> <flags> <master> <pings> <pongs> <epoch> <link>",
            "    <slot> ...",
            "REPLICAS <node-id>",
            "    Replicas of <node-id>, in the form of NODES.",
            "REPLICATE <node-id>",
            "    Become a replica of <node-id>.",
            "RESET [HARD|SOFT]",
            "    Forget the cluster (SOFT, unless told otherwise).",
            "SAVECONFIG",
            "    Write the state of the cluster to disk.",
            "SET-CONFIG-EPOCH <epoch>",
            "    Set the configuration epoch of a new node.",
            "SETSLOT <slot> (IMPORTING <node-id>|MIGRATING <node-id>|STABLE|NODE <node-id>)",
            "    Change the state or owner of <slot>.",
            "SHARDS",
            "    Shards with their slots and nodes.",
            "SLOTS",
            "    Ranges of slots with their nodes: start, end, primary, replicas, each node with ip,",
            "    port, id and further addresses.",
        ],
    );
}

/// Writes the HELP reply of the command that `args[0]` names.
fn write_help(reply: &mut Reply, args: &Args<'_>, lines: &[&str]) {
    let name = args
        .get(0)
        .and_then(lookup)
        .map_or("", |command| command.name);
    let name = name.to_ascii_uppercase();
    reply.array(lines.len() + 3);
    reply.simple(&format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for line in lines {
        reply.simple(line);
    }
    reply.simple("HELP");
    reply.simple("    Prints this help.");
}
