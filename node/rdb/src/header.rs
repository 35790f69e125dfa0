//! What stands in a file around the entries.

use crate::encode::{put_integer, put_length, put_string};
use crate::{Checksum, VERSION, opcode};

/// Facts about a file that stand at its start.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Version of the writer, as Redis counts: "7.0.15".
    pub version: &'a str,
    /// Unix time in seconds.
    pub created_s: i64,
    /// Memory in use, bytes.
    pub used_memory: u64,
    /// Where in the replication stream the file stands, if it is of use to anyone.
    pub replication: Option<ReplicationInfo<'a>>,
    /// Whether the file is the base of an append-only file.
    pub aof_base: bool,
}

/// The place of a file in a replication stream.
#[derive(Clone, Copy, Debug)]
pub struct ReplicationInfo<'a> {
    /// The database that the stream has selected.
    pub stream_db: i64,
    /// Replication id, 40 digits.
    pub id: &'a str,
    /// Offset in the stream.
    pub offset: i64,
}

/// Appends the start of a file: magic, version, facts (Redis 7.0: rdbSaveInfoAuxFields).
pub fn write_header(out: &mut Vec<u8>, header: &Header<'_>) {
    out.extend_from_slice(opcode::MAGIC);
    out.extend_from_slice(format!("{VERSION:04}").as_bytes());
    aux(out, "redis-ver", header.version);
    aux_integer(out, "redis-bits", 64);
    aux_integer(out, "ctime", header.created_s);
    aux_integer(out, "used-mem", header.used_memory as i64);
    if let Some(replication) = &header.replication {
        aux_integer(out, "repl-stream-db", replication.stream_db);
        aux(out, "repl-id", replication.id);
        aux_integer(out, "repl-offset", replication.offset);
    }
    aux_integer(out, "aof-base", header.aof_base.into());
}

/// Appends that the following entries are of database `db`, which has about so many keys, and so
/// many with an expiry.
pub fn write_select_db(out: &mut Vec<u8>, db: u32, keys: u64, volatile: u64) {
    out.push(opcode::SELECTDB);
    put_length(out, db.into());
    out.push(opcode::RESIZEDB);
    put_length(out, keys);
    put_length(out, volatile);
}

/// Appends the end of a file. `checksum` has all bytes before; without one (`rdbchecksum no`) the
/// end says that there is none.
pub fn write_eof(out: &mut Vec<u8>, checksum: Option<Checksum>) {
    out.push(opcode::EOF);
    let value = checksum.map_or(0, |mut checksum| {
        checksum.update(&[opcode::EOF]);
        checksum.value()
    });
    out.extend_from_slice(&value.to_le_bytes());
}

fn aux(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(opcode::AUX);
    // Too short for compression to matter.
    put_string(out, key.as_bytes(), false);
    put_string(out, value.as_bytes(), false);
}

fn aux_integer(out: &mut Vec<u8>, key: &str, value: i64) {
    out.push(opcode::AUX);
    put_string(out, key.as_bytes(), false);
    put_integer(out, value);
}
