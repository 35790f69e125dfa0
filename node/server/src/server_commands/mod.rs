//! The commands that are about the server or the connection and not about keys.

mod admin;
mod client;
mod cluster;
mod config;
mod connection;
mod debug;
mod memory;
mod replication;
mod slowlog;
mod transaction;

use hexad_commands::{Args, ServerCommand};

use crate::session::{Flow, Session};
use crate::worker::{Worker, unix_micros};

/// Executes one of them.
pub(crate) fn run(
    session: &mut Session,
    worker: &mut Worker,
    command: ServerCommand,
    args: Args<'_>,
) -> Flow {
    use ServerCommand as C;
    match command {
        C::Auth => connection::auth(session, worker, args),
        C::Hello => connection::hello(session, worker, args),
        C::Select => connection::select(session, worker, args),
        C::Reset => connection::reset(session, worker),
        C::Quit => {
            worker.reply.ok();
            Flow::Close
        }
        C::Asking => connection::cluster_switch(session, worker, |s| s.asking = true),
        C::ReadOnly => connection::cluster_switch(session, worker, |s| s.readonly = true),
        C::ReadWrite => connection::cluster_switch(session, worker, |s| s.readonly = false),

        C::ClientGetName => client::get_name(session, worker),
        C::ClientSetName => connection::set_name(session, worker, &args[2]),
        C::ClientId => {
            worker.reply.integer(session.client.id as i64);
            Flow::Next
        }
        C::ClientInfo => client::info(session, worker),
        C::ClientList => client::list(session, worker, args),
        C::ClientKill => client::kill(session, worker, args),
        C::ClientPause => client::pause(session, worker, args),
        C::ClientUnpause => client::unpause(session, worker),
        C::ClientUnblock => client::unblock(session, worker, args),
        C::ClientReply => client::reply(session, worker, args),
        C::ClientNoEvict => client::no_evict(session, worker, args),
        C::ClientTrackingInfo => client::tracking_info(worker),

        C::Multi => transaction::multi(session, worker),
        C::Exec => transaction::exec(session, worker),
        C::Discard => transaction::discard(session, worker),
        C::Watch => transaction::watch(session, worker, args),
        C::Unwatch => transaction::unwatch(session, worker),

        C::ConfigGet => config::get(session, worker, args),
        C::ConfigSet => config::set(session, worker, args),
        C::ConfigRewrite => config::rewrite(session, worker),
        C::ConfigResetStat => config::reset_stat(session, worker),
        C::Info => admin::info(session, worker, args),
        C::Failover => replication::failover(session, worker, args),
        C::Psync | C::Sync => replication::psync(session, worker, args),
        C::ReplConf => replication::replconf(session, worker, args),
        C::ReplicaOf => replication::replicaof(session, worker, args),
        C::Role => replication::role(session, worker),
        C::Wait => replication::wait(session, worker, args),
        C::LastSave => admin::last_save(session, worker),
        C::Shutdown => admin::shutdown(session, worker, args),
        C::Time => {
            let micros = unix_micros();
            worker.reply.array(2);
            worker.reply.bulk_int(micros / 1_000_000);
            worker.reply.bulk_int(micros % 1_000_000);
            Flow::Next
        }
        C::Debug => debug::run(session, worker, args),
        C::MemoryDoctor => memory::doctor(session, worker),
        C::MemoryMallocStats => memory::malloc_stats(worker),
        C::MemoryPurge => memory::purge(worker),
        C::MemoryStats => memory::stats(session, worker),
        C::SlowlogGet => slowlog::get(session, worker, args),
        C::SlowlogLen => slowlog::len(session, worker),
        C::SlowlogReset => slowlog::reset(session, worker),
        _ => cluster::run(session, worker, args),
    }
}

/// Answers with an error.
fn error(worker: &mut Worker, text: &str) -> Flow {
    worker.reply.error(text);
    Flow::Next
}

fn syntax_error(worker: &mut Worker) -> Flow {
    error(worker, "ERR syntax error")
}
