//! The handlers of the data commands.
//!
//! Each is a function `fn(&mut Ctx, &Args)` (or with a [`KeyspaceCtx`](crate::KeyspaceCtx)) named
//! after its command. The table has checked the arity before a handler runs; everything else is the
//! handler's job: it parses its options, looks keys up through [`Ctx`](crate::Ctx), which applies
//! expiry and statistics, changes them, says so by `ctx.modified(key)`, and replies. The reference
//! for order of checks, replies and error texts is Redis 7.0.15.

mod bignum;
mod counters;
pub mod debug;
mod dump;
mod errors;
mod expire;
mod float80;
mod generic;
#[cfg(test)]
mod harness;
mod keyspace;
mod lcs;
mod lifetime;
mod object;
mod ranges;
mod scan;
#[cfg(test)]
mod stream_tests;
mod strings;
#[cfg(test)]
mod tests;
mod value;

pub use counters::{decr, decrby, incr, incrby, incrbyfloat};
pub use dump::{dump, restore};
pub use expire::{
    expire, expireat, expiretime, persist, pexpire, pexpireat, pexpiretime, pttl, ttl,
};
pub use generic::{copy, del, del as unlink, exists, move_key, rename, renamenx, touch, type_of};
pub use keyspace::{dbsize, flushall, flushdb, keys, randomkey, swapdb};
pub use lcs::lcs;
pub use object::{
    OBJECT_HELP, memory_usage, object_encoding, object_freq, object_help, object_idletime,
    object_refcount,
};
pub use ranges::{append, getrange, setrange, strlen};
pub use scan::scan;
pub use strings::{get, getdel, getex, getset, mget, mset, msetnx, psetex, set, setex, setnx};
