//! Times to live: the EXPIRE and TTL families, PERSIST.

use hexad_resp::{Args, parse_i64};

use super::errors::{ErrorText, NOT_AN_INTEGER, invalid_expire};
use super::lifetime::TimeKind;
use crate::{Ctx, Word};

const NX_WITH_OTHERS: &str = "ERR NX and XX, GT or LT options at the same time are not compatible";
const GT_WITH_LT: &str = "ERR GT and LT options at the same time are not compatible";

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    set_deadline(ctx, args, TimeKind::Seconds, "expire");
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn pexpire(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    set_deadline(ctx, args, TimeKind::Milliseconds, "pexpire");
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
pub fn expireat(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    set_deadline(ctx, args, TimeKind::UnixSeconds, "expireat");
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
pub fn pexpireat(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    set_deadline(ctx, args, TimeKind::UnixMilliseconds, "pexpireat");
}

fn set_deadline(ctx: &mut Ctx<'_>, args: &Args<'_>, kind: TimeKind, name: &str) {
    let key = ctx.first_key(&args[1]);
    let (guard, deadline) = match parse(ctx.now_ms, args, kind, name) {
        Ok(parsed) => parsed,
        Err(text) => return text.write_to(ctx.reply),
    };
    let current = ctx.for_write(key, |entry, _| entry.map(|entry| entry.expire_at()));
    let applies = current.is_some_and(|current| guard.admits(current, deadline));
    if applies {
        if ctx.is_past(deadline) {
            ctx.remove(key);
            ctx.propagate_deletion(key, ctx.env.lazy_expire);
        } else {
            ctx.set_expire(key, deadline);
            if kind != TimeKind::UnixMilliseconds {
                let time = [b"PEXPIREAT".into(), key.bytes.into(), deadline.into()];
                let guards = args.slice(3);
                ctx.propagate(time.into_iter().chain(guards.iter().map(Word::from)));
            }
        }
    }
    ctx.reply.integer(i64::from(applies));
}

fn parse(
    now_ms: i64,
    args: &Args<'_>,
    kind: TimeKind,
    name: &str,
) -> Result<(Guard, i64), ErrorText> {
    let guard = Guard::parse(args.slice(3))?;
    let amount = parse_i64(&args[2]).ok_or(NOT_AN_INTEGER)?;
    let deadline = kind
        .to_unix_ms(amount, now_ms)
        .ok_or_else(|| invalid_expire(name))?;
    Ok((guard, deadline))
}

/// Under which conditions EXPIRE changes an expiry.
#[derive(Clone, Copy, Default)]
struct Guard {
    /// NX: only if there is none yet.
    absent: bool,
    /// XX: only if there is one.
    present: bool,
    /// GT: only if the new one is later; none counts as infinitely late.
    later: bool,
    /// LT: only if the new one is earlier.
    earlier: bool,
}

impl Guard {
    fn parse(args: Args<'_>) -> Result<Self, ErrorText> {
        let mut guard = Self::default();
        for option in args.iter() {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => guard.absent = true,
                b"xx" => guard.present = true,
                b"gt" => guard.later = true,
                b"lt" => guard.earlier = true,
                _ => return Err(unsupported(option)),
            }
        }
        if guard.absent && (guard.present || guard.later || guard.earlier) {
            return Err(NX_WITH_OTHERS.into());
        }
        if guard.later && guard.earlier {
            return Err(GT_WITH_LT.into());
        }
        Ok(guard)
    }

    fn admits(self, current: Option<i64>, deadline: i64) -> bool {
        (!self.absent || current.is_none())
            && (!self.present || current.is_some())
            && (!self.later || current.is_some_and(|current| deadline > current))
            && (!self.earlier || current.is_none_or(|current| deadline < current))
    }
}

/// Quotes the option as C does, up to its first zero byte, and without line ends behind it.
fn unsupported(option: &[u8]) -> ErrorText {
    let quoted = option.split(|&byte| byte == 0).next().unwrap_or_default();
    let line_ends = quoted
        .iter()
        .rev()
        .take_while(|&&byte| matches!(byte, b'\r' | b'\n'))
        .count();
    [
        b"ERR Unsupported option ",
        &quoted[..quoted.len() - line_ends],
    ]
    .concat()
    .into()
}

/// `PERSIST key`
pub fn persist(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    let persisted = ctx.exists_for_write(key) && ctx.persist(key);
    ctx.reply.integer(i64::from(persisted));
}

/// `TTL key`
pub fn ttl(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let now_ms = ctx.now_ms;
    report(ctx, args, |deadline| {
        rounded_seconds((deadline - now_ms).max(0))
    });
}

/// `PTTL key`
pub fn pttl(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let now_ms = ctx.now_ms;
    report(ctx, args, |deadline| (deadline - now_ms).max(0));
}

/// `EXPIRETIME key`
pub fn expiretime(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    report(ctx, args, rounded_seconds);
}

/// `PEXPIRETIME key`
pub fn pexpiretime(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    report(ctx, args, |deadline| deadline);
}

/// Replies -2 for a missing key, -1 for one without expiry, else what `show` makes of the expiry.
fn report(ctx: &mut Ctx<'_>, args: &Args<'_>, show: impl FnOnce(i64) -> i64) {
    let key = ctx.first_key(&args[1]);
    ctx.peek(key, |entry, reply| {
        reply.integer(match entry.map(|entry| entry.expire_at()) {
            None => -2,
            Some(None) => -1,
            Some(Some(deadline)) => show(deadline),
        });
    });
}

/// Milliseconds as the nearest second, halves up.
fn rounded_seconds(milliseconds: i64) -> i64 {
    // As (ms + 500) / 1000 without its overflow at the end of time.
    milliseconds / 1000 + i64::from(milliseconds % 1000 >= 500)
}
