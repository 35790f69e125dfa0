//! Values in the form of RDB files: DUMP and RESTORE.

use hexad_rdb::RestoreError;
use hexad_resp::{Args, parse_i64};

use super::errors::{ErrorText, NOT_AN_INTEGER, SYNTAX, attempt};
use crate::{Ctx, Word};

const BUSY_KEY: &str = "BUSYKEY Target key name already exists.";
const INVALID_TTL: &str = "ERR Invalid TTL value, must be >= 0";
const INVALID_IDLE_TIME: &str = "ERR Invalid IDLETIME value, must be >= 0";
const INVALID_FREQUENCY: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";
const WRONG_FOOTER: &str = "ERR DUMP payload version or checksum are wrong";
const WRONG_DATA: &str = "ERR Bad data format";

/// `DUMP key`
pub fn dump(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    let compress = ctx.env.compress_dumps;
    ctx.read(key, |entry, reply| match entry {
        Some(entry) => {
            let mut payload = Vec::new();
            hexad_rdb::dump(&mut payload, entry, compress);
            reply.bulk(&payload);
        }
        None => reply.null(),
    });
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`, and
/// RESTORE-ASKING, which is the same in an importing slot.
pub fn restore(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        let options = Options::parse(args.slice(4))?;
        if !options.replace && ctx.exists_for_write(key) {
            return Err(BUSY_KEY.into());
        }
        let deadline = options.deadline(&args[2], ctx.now_ms)?;
        let mut scratch = Vec::new();
        let value = hexad_rdb::restore(&args[3], ctx.env.max_string_bytes, &mut scratch)
            .map_err(error_text)?;
        if deadline.is_some_and(|deadline| ctx.is_past(deadline)) {
            // What comes past its time takes the place of what is there all the same.
            if options.replace && ctx.remove_any(key) {
                ctx.propagate_deletion(key, false);
            }
        } else {
            let entry = value.into_entry(key.bytes, deadline)?;
            let clock = ctx
                .env
                .restored_clock(ctx.now_ms, options.idle_s, options.frequency);
            entry.set_access(clock);
            ctx.insert(key, entry);
            if let Some(deadline) = deadline.filter(|_| !options.absolute) {
                let restore = [Word::from(&args[0]), key.bytes.into(), deadline.into()];
                let rest = args.slice(3);
                let rest = rest.iter().map(Word::from).chain([b"ABSTTL".into()]);
                ctx.propagate(restore.into_iter().chain(rest));
            }
        }
        ctx.reply.ok();
        Ok(())
    });
}

fn error_text(error: RestoreError) -> ErrorText {
    match error {
        RestoreError::Footer => WRONG_FOOTER.into(),
        RestoreError::Data(_) => WRONG_DATA.into(),
    }
}

#[derive(Default)]
struct Options {
    replace: bool,
    /// The TTL is a Unix time.
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    /// An option may be repeated, the last one counts; IDLETIME and FREQ exclude each other.
    fn parse(args: Args<'_>) -> Result<Self, &'static str> {
        let mut options = Self::default();
        let mut rest = args.iter();
        while let Some(option) = rest.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            match () {
                () if is("replace") => options.replace = true,
                () if is("absttl") => options.absolute = true,
                () if is("idletime") && options.frequency.is_none() => {
                    let idle_s = number(rest.next())?;
                    options.idle_s = Some(idle_s.try_into().map_err(|_| INVALID_IDLE_TIME)?);
                }
                () if is("freq") && options.idle_s.is_none() => {
                    let frequency = number(rest.next())?;
                    options.frequency = Some(frequency.try_into().map_err(|_| INVALID_FREQUENCY)?);
                }
                () => return Err(SYNTAX),
            }
        }
        Ok(options)
    }

    /// The Unix time in milliseconds at which the key expires. One that overflows is long past.
    fn deadline(&self, ttl: &[u8], now_ms: i64) -> Result<Option<i64>, &'static str> {
        let ttl_ms = parse_i64(ttl).ok_or(NOT_AN_INTEGER)?;
        let origin_ms = if self.absolute { 0 } else { now_ms };
        match ttl_ms {
            ..0 => Err(INVALID_TTL),
            0 => Ok(None),
            _ => Ok(Some(ttl_ms.wrapping_add(origin_ms))),
        }
    }
}

fn number(argument: Option<&[u8]>) -> Result<i64, &'static str> {
    parse_i64(argument.ok_or(SYNTAX)?).ok_or(NOT_AN_INTEGER)
}

#[cfg(test)]
mod tests {
    use super::super::harness::Harness;
    use crate::{Expiry, Propagated};

    /// The string "v", as Redis 7.0 and 7.2 dump it.
    const VERSION_10: &[u8] = b"\x00\x01v\x0a\x00\x91\x08\xce\xb2\x198\x8a\xce";
    const VERSION_11: &[u8] = b"\x00\x01v\x0b\x00\xf8\xd7s\xc1\xe4\xa7cG";

    fn restore(server: &mut Harness, ttl: &str, payload: &[u8], option: &str) -> String {
        let words = [
            b"RESTORE",
            &b"k"[..],
            ttl.as_bytes(),
            payload,
            option.as_bytes(),
        ];
        server.run_words(&words)
    }

    #[test]
    fn payloads_of_newer_nodes_are_taken() {
        let mut server = Harness::stand_alone();
        assert_eq!(restore(&mut server, "0", VERSION_11, "REPLACE"), "+OK");
        assert_eq!(server.run("GET k"), "$1 v");
    }

    #[test]
    fn where_the_primary_expires_keys_a_past_one_is_stored() {
        let mut server = Harness::stand_alone();
        assert_eq!(restore(&mut server, "1", VERSION_10, "ABSTTL"), "+OK");
        assert_eq!(server.run("DBSIZE"), ":0");
        server.env.expiry = Expiry::Hides;
        assert_eq!(restore(&mut server, "1", VERSION_10, "ABSTTL"), "+OK");
        assert_eq!(server.run("DBSIZE"), ":1");
    }

    #[test]
    fn what_replaces_a_key_changes_it_once() {
        let mut server = Harness::stand_alone();
        let mut dirty_after = |ttl, option| {
            assert_eq!(restore(&mut server, ttl, VERSION_10, option), "+OK");
            std::mem::take(&mut server.effects.dirty)
        };
        assert_eq!(dirty_after("0", "REPLACE"), 1);
        assert_eq!(dirty_after("0", "REPLACE"), 1);
        // Past its time: deletes what is there, and then there is nothing.
        assert_eq!(dirty_after("9223372036854775807", "REPLACE"), 1);
        assert_eq!(dirty_after("1000", "REPLACE"), 1);
    }

    /// What goes to the replicas, as Redis 7.0.15 was seen to feed one; `None` for the command as
    /// it is.
    fn stream(server: &mut Harness, words: &[&[u8]]) -> Vec<Option<String>> {
        server.effects.begin_command();
        assert_eq!(server.run_words(words), "+OK");
        let resp = server
            .effects
            .propagated()
            .map(|propagated| match propagated {
                Propagated::Command { resp, .. } => Some(resp.escape_ascii().to_string()),
                _ => None,
            });
        resp.collect()
    }

    #[test]
    fn replicas_get_points_in_time() {
        let mut server = Harness::stand_alone();
        let expected = format!(
            "*6\\r\\n$14\\r\\nrestore-asking\\r\\n$1\\r\\nk\\r\\n$10\\r\\n1000100000\\r\\n$13\\r\\n{}\\r\\n\
             $7\\r\\nreplace\\r\\n$6\\r\\nABSTTL\\r\\n",
            VERSION_10.escape_ascii()
        );
        let relative = [
            b"restore-asking",
            &b"k"[..],
            b"100000",
            VERSION_10,
            b"replace",
        ];
        assert_eq!(stream(&mut server, &relative), [Some(expected)]);
        let absolute = [
            b"restore",
            &b"n"[..],
            b"4000000000000",
            VERSION_10,
            b"absttl",
        ];
        assert_eq!(stream(&mut server, &absolute), [None]);
        let endless = [b"restore", &b"k"[..], b"0", VERSION_10, b"REPLACE"];
        assert_eq!(stream(&mut server, &endless), [None]);
        let past = [
            b"restore",
            &b"k"[..],
            b"1",
            VERSION_10,
            b"REPLACE",
            b"ABSTTL",
        ];
        let deleted = "*2\\r\\n$3\\r\\nDEL\\r\\n$1\\r\\nk\\r\\n".to_owned();
        assert_eq!(stream(&mut server, &past), [Some(deleted)]);
        assert_eq!(stream(&mut server, &past), []);
    }
}
