//! Whole string values: SET, GET and their relatives.

use hexad_resp::Args;

use super::errors::{ErrorText, attempt, wrong_arity};
use super::lifetime::{Condition, Dialect, ExpireArg, Lifetime, Options, TimeKind};
use super::value::{reply_string, string};
use crate::context::Key;
use crate::{Ctx, Word};

/// `GET key`
pub fn get(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    ctx.read(key, reply_string);
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        if args.len() > 3 {
            return set_with_options(ctx, key, args);
        }
        ctx.set(key, &args[2], None)?;
        ctx.reply.ok();
        Ok(())
    });
}

#[cold]
fn set_with_options(ctx: &mut Ctx<'_>, key: Key<'_>, args: &Args<'_>) -> Result<(), ErrorText> {
    let options = Options::parse(args.slice(3), Dialect::Set)?;
    let deadline = match options.lifetime {
        Lifetime::Until(argument) => Some(argument.resolve(ctx.now_ms, "set")?),
        Lifetime::Unsaid | Lifetime::Keep | Lifetime::Persist => None,
    };
    if options.get && !ctx.read(key, reply_string) {
        return Ok(());
    }
    let (exists, kept) = ctx.for_write(key, |entry, _| {
        (entry.is_some(), entry.and_then(|entry| entry.expire_at()))
    });
    let wanted = match options.condition {
        Condition::Always => true,
        Condition::Absent => !exists,
        Condition::Present => exists,
    };
    if wanted {
        let kept = kept.filter(|_| matches!(options.lifetime, Lifetime::Keep));
        ctx.set(key, &args[2], deadline.or(kept))?;
        match deadline {
            Some(deadline) => propagate_set_until(ctx, key, &args[2], deadline),
            // A replica replies to nobody.
            None if options.get => propagate_without_get(ctx, args),
            None => {}
        }
    }
    if !options.get {
        if wanted {
            ctx.reply.ok()
        } else {
            ctx.reply.null()
        }
    }
    Ok(())
}

fn propagate_set_until(ctx: &mut Ctx<'_>, key: Key<'_>, value: &[u8], deadline: i64) {
    let set = [b"SET".into(), key.bytes.into(), value.into()];
    ctx.propagate(set.into_iter().chain([b"PXAT".into(), deadline.into()]));
}

fn propagate_without_get(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let words = args.iter().enumerate();
    let kept = words.filter(|(at, word)| *at < 3 || !word.eq_ignore_ascii_case(b"get"));
    ctx.propagate(kept.map(|(_, word)| Word::from(word)));
}

/// `SETNX key value`
pub fn setnx(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        let absent = !ctx.exists_for_write(key);
        if absent {
            ctx.set(key, &args[2], None)?;
        }
        ctx.reply.integer(i64::from(absent));
        Ok(())
    });
}

/// `SETEX key seconds value`
pub fn setex(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    set_expiring(ctx, args, TimeKind::Seconds, "setex");
}

/// `PSETEX key milliseconds value`
pub fn psetex(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    set_expiring(ctx, args, TimeKind::Milliseconds, "psetex");
}

fn set_expiring(ctx: &mut Ctx<'_>, args: &Args<'_>, kind: TimeKind, name: &str) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        let deadline = ExpireArg {
            kind,
            text: &args[2],
        }
        .resolve(ctx.now_ms, name)?;
        ctx.set(key, &args[3], Some(deadline))?;
        propagate_set_until(ctx, key, &args[3], deadline);
        ctx.reply.ok();
        Ok(())
    });
}

/// `GETSET key value`
pub fn getset(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        if ctx.read(key, reply_string) {
            ctx.set(key, &args[2], None)?;
            ctx.propagate([b"SET".into(), key.bytes.into(), Word::from(&args[2])]);
        }
        Ok(())
    });
}

/// `GETDEL key`
pub fn getdel(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    let found = ctx.read(key, |entry, reply| {
        reply_string(entry, reply) && entry.is_some()
    });
    if found {
        ctx.remove(key);
        ctx.propagate_deletion(key, ctx.env.lazy_user_del);
    }
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub fn getex(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        let lifetime = Options::parse(args.slice(2), Dialect::GetEx)?.lifetime;
        let found = ctx.read(key, |entry, reply| {
            reply_string(entry, reply) && entry.is_some()
        });
        // A missing key is answered before the expiry's number is looked at.
        if found {
            change_lifetime(ctx, key, lifetime)
        } else {
            Ok(())
        }
    });
}

fn change_lifetime(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    lifetime: Lifetime<'_>,
) -> Result<(), ErrorText> {
    match lifetime {
        Lifetime::Unsaid | Lifetime::Keep => {}
        Lifetime::Persist => {
            if ctx.persist(key) {
                ctx.propagate([b"PERSIST".into(), Word::from(key.bytes)]);
            }
        }
        Lifetime::Until(argument) => {
            let deadline = argument.resolve(ctx.now_ms, "getex")?;
            if argument.kind.is_absolute() && ctx.is_past(deadline) {
                ctx.remove(key);
                ctx.propagate_deletion(key, ctx.env.lazy_expire);
            } else {
                ctx.set_expire(key, deadline);
                ctx.propagate([b"PEXPIREAT".into(), key.bytes.into(), deadline.into()]);
            }
        }
    }
    Ok(())
}

/// `MGET key [key ...]`
pub fn mget(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    ctx.reply.array(args.len() - 1);
    for name in args.slice(1) {
        let key = ctx.key(name);
        // A key of another type is null here, not an error.
        ctx.read(key, |entry, reply| {
            reply_string(entry.filter(|entry| string(entry).is_ok()), reply)
        });
    }
}

/// `MSET key value [key value ...]`
pub fn mset(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    attempt(ctx, |ctx| {
        if args.len().is_multiple_of(2) {
            return Err(wrong_arity("mset"));
        }
        set_pairs(ctx, args)?;
        ctx.reply.ok();
        Ok(())
    });
}

/// `MSETNX key value [key value ...]`
pub fn msetnx(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    attempt(ctx, |ctx| {
        if args.len().is_multiple_of(2) {
            return Err(wrong_arity("msetnx"));
        }
        let taken = args.slice(1).iter().step_by(2).any(|name| {
            let key = ctx.key(name);
            ctx.exists_for_write(key)
        });
        if !taken {
            set_pairs(ctx, args)?;
        }
        ctx.reply.integer(i64::from(!taken));
        Ok(())
    });
}

fn set_pairs(ctx: &mut Ctx<'_>, args: &Args<'_>) -> Result<(), ErrorText> {
    let mut rest = args.slice(1).iter();
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        let key = ctx.key(name);
        ctx.set(key, value, None)?;
    }
    Ok(())
}
