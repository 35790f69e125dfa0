//! Strings that hold numbers: the INCR family.

use hexad_resp::{Args, parse_i64};
use hexad_store::{Entry, ValueRef};

use super::errors::{NOT_A_FLOAT, NOT_AN_INTEGER, attempt};
use super::float80::{Float80, Parsed};
use super::value::string;
use crate::{Ctx, Word};

const OVERFLOW: &str = "ERR increment or decrement would overflow";
const DECREMENT_OVERFLOW: &str = "ERR decrement would overflow";
const NOT_FINITE: &str = "ERR increment would produce NaN or Infinity";

/// `INCR key`
pub fn incr(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    add(ctx, args, 1);
}

/// `DECR key`
pub fn decr(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    add(ctx, args, -1);
}

/// `INCRBY key increment`
pub fn incrby(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    match parse_i64(&args[2]) {
        Some(increment) => add(ctx, args, increment),
        None => ctx.reply.error(NOT_AN_INTEGER),
    }
}

/// `DECRBY key decrement`
pub fn decrby(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    match parse_i64(&args[2]).map(i64::checked_neg) {
        Some(Some(increment)) => add(ctx, args, increment),
        Some(None) => ctx.reply.error(DECREMENT_OVERFLOW),
        None => ctx.reply.error(NOT_AN_INTEGER),
    }
}

fn add(ctx: &mut Ctx<'_>, args: &Args<'_>, increment: i64) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        let current = ctx.for_write(key, |entry, _| entry.map_or(Ok(0), integer))?;
        let sum = current.checked_add(increment).ok_or(OVERFLOW)?;
        ctx.set_number(key, sum)?;
        ctx.reply.integer(sum);
        Ok(())
    });
}

fn integer(entry: &Entry) -> Result<i64, &'static str> {
    match string(entry)? {
        ValueRef::Int(value) => Ok(value),
        ValueRef::Str(text) => parse_i64(text).ok_or(NOT_AN_INTEGER),
    }
}

/// `INCRBYFLOAT key increment`
pub fn incrbyfloat(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    attempt(ctx, |ctx| {
        let (current, kept) = ctx.for_write(key, |entry, _| match entry {
            Some(entry) => float(entry).map(|value| (value, entry.expire_at())),
            None => Ok((Parsed::Finite(Float80::ZERO), None)),
        })?;
        let increment = Float80::parse(&args[2]).ok_or(NOT_A_FLOAT)?;
        let (Parsed::Finite(current), Parsed::Finite(increment)) = (current, increment) else {
            return Err(NOT_FINITE.into());
        };
        let mut text = Vec::with_capacity(32);
        current
            .checked_add(increment)
            .ok_or(NOT_FINITE)?
            .write_to(&mut text);
        // The sum is kept as the text that was replied, even if that is an integer's.
        ctx.set_text(key, &text, kept)?;
        let set = [b"SET".into(), key.bytes.into(), text.as_slice().into()];
        ctx.propagate(set.into_iter().chain([Word::from(b"KEEPTTL")]));
        ctx.reply.bulk(&text);
        Ok(())
    });
}

fn float(entry: &Entry) -> Result<Parsed, &'static str> {
    match string(entry)? {
        ValueRef::Int(value) => Ok(Parsed::Finite(Float80::from(value))),
        ValueRef::Str(text) => Float80::parse(text).ok_or(NOT_A_FLOAT),
    }
}
