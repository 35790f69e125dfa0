//! The parts of DEBUG that look at data; official tests use them.

use hexad_resp::{Args, parse_i64};
use hexad_slots::Slot;
use hexad_store::{Entry, ValueRef};
use sha1::{Digest as _, Sha1};

use super::errors::{ErrorText, NO_SUCH_KEY, NOT_POSITIVE};
use super::keyspace::for_each_non_empty;
use super::object::{idle_seconds, refcount};
use super::value::with_text;
use crate::Ctx;
use crate::context::KeyspaceCtx;

/// `DEBUG OBJECT key`
pub fn debug_object(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[2]);
    match ctx.partition.db(ctx.db).get(key.bytes, key.hash) {
        Some(entry) => ctx.reply.simple(&facts(entry, ctx.now_ms)),
        None => ctx.reply.error(NO_SUCH_KEY),
    }
}

fn facts(entry: &Entry, now_ms: i64) -> String {
    format!(
        "Value at:{:p} refcount:{} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        std::ptr::from_ref(entry).cast::<u8>(),
        refcount(entry),
        entry.encoding().name(),
        serialized_len(entry),
        entry.access(),
        idle_seconds(entry, now_ms),
    )
}

/// Bytes of the value in an RDB file without compression.
fn serialized_len(entry: &Entry) -> usize {
    let string_len = |len: usize| match len {
        0..64 => 1 + len,
        64..16384 => 2 + len,
        _ => 5 + len,
    };
    match entry.value() {
        ValueRef::Int(-128..128) => 2,
        ValueRef::Int(-32_768..32_768) => 3,
        ValueRef::Int(-2_147_483_648..2_147_483_648) => 5,
        ValueRef::Int(value) => string_len(itoa::Buffer::new().format(value).len()),
        ValueRef::Str(text) => string_len(text.len()),
    }
}

/// `DEBUG POPULATE count [prefix [size]]`: keys `prefix:0` … with values `value:0` …, cut or filled
/// with zeros to `size`. A key that exists stays. In cluster mode a key is made in its slot, whoever
/// owns that.
pub fn debug_populate(ctx: &mut KeyspaceCtx<'_>, args: &Args<'_>) {
    let number = |at: usize| args.get(at).map_or(Some(0), natural);
    let (Some(count), Some(size)) = (number(2), number(4)) else {
        return ctx.reply.error(NOT_POSITIVE);
    };
    let prefix = args.get(3).unwrap_or(b"key");
    for index in 0..count {
        let key = [prefix, format!(":{index}").as_bytes()].concat();
        let mut value = format!("value:{index}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        let keyspace = ctx.keyspace;
        let home = if keyspace.partitions() == 1 {
            0
        } else {
            Slot::of_key(&key).index()
        };
        let mut result = Ok(());
        keyspace.visit(home, &mut |partition| {
            result = ctx.insert_if_absent(partition, &key, &value);
        });
        if let Err(error) = result {
            return ErrorText::from(error).write_to(ctx.reply);
        }
    }
    ctx.reply.ok();
}

fn natural(text: &[u8]) -> Option<usize> {
    parse_i64(text).and_then(|number| usize::try_from(number).ok())
}

/// `DEBUG DIGEST`: the digest of all keys of all databases, all zeros if there are none. Equal to
/// what Redis 7.0 computes for the same data.
pub fn debug_digest(ctx: &mut KeyspaceCtx<'_>, _args: &Args<'_>) {
    let mut databases = 0;
    for_each_non_empty(ctx.keyspace, |partition| databases = partition.databases());
    let mut total = Digest::ZERO;
    for db in 0..databases {
        let (mut keys, mut any) = (Digest::ZERO, false);
        for_each_non_empty(ctx.keyspace, |partition| {
            for entry in partition.db(db).iter() {
                keys.xor(&Digest::of_entry(entry).0);
                any = true;
            }
        });
        if any {
            total.mix(&(db as u32).to_be_bytes());
            total.xor_digest(&keys);
        }
    }
    ctx.reply.simple(&total.to_hex());
}

/// One element of `DEBUG DIGEST-VALUE [key ...]`: the digest of the type, value and expiry of the
/// key that is argument 2, all zeros if it is missing.
pub fn debug_digest_value(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[2]);
    let entry = ctx.partition.db(ctx.db).get(key.bytes, key.hash);
    let digest = entry.map_or(Digest::ZERO, |entry| Digest::ZERO.with_value(entry));
    ctx.reply.simple(&digest.to_hex());
}

/// The digest that Redis 7.0's DEBUG DIGEST builds out of SHA-1: `xor` is for what has no order
/// (the keys of a database), `mix` for what has (a key, then its value).
#[derive(Clone, Copy)]
struct Digest([u8; 20]);

impl Digest {
    const ZERO: Self = Self([0; 20]);

    fn of_entry(entry: &Entry) -> Self {
        let mut digest = Self::ZERO;
        digest.mix(entry.key());
        digest.with_value(entry)
    }

    /// Mixes in the type (0 for strings), the value, and that there is an expiry.
    fn with_value(mut self, entry: &Entry) -> Self {
        const STRING: u32 = 0;
        self.mix(&STRING.to_be_bytes());
        // Strings are the only type yet; another one would not be mixed in as text.
        let _ = with_text(entry, |text| self.mix(text));
        if entry.expire_at().is_some() {
            self.xor(b"!!expire!!");
        }
        self
    }

    fn mix(&mut self, data: &[u8]) {
        self.xor(data);
        self.0 = Sha1::digest(self.0).into();
    }

    fn xor(&mut self, data: &[u8]) {
        self.xor_digest(&Self(Sha1::digest(data).into()));
    }

    fn xor_digest(&mut self, other: &Self) {
        for (byte, other) in self.0.iter_mut().zip(other.0) {
            *byte ^= other;
        }
    }

    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
