//! Parts of string values: APPEND, STRLEN, SETRANGE, GETRANGE.

use hexad_resp::{Args, parse_i64};

use super::errors::{NOT_AN_INTEGER, STRING_TOO_LONG, attempt};
use super::value::{text_len, with_text};
use crate::Ctx;
use crate::context::Key;

const NEGATIVE_OFFSET: &str = "ERR offset is out of range";

/// `STRLEN key`
pub fn strlen(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    ctx.read(key, |entry, reply| match entry.map_or(Ok(0), text_len) {
        Ok(len) => reply.integer(len as i64),
        Err(text) => reply.error(text),
    });
}

/// `APPEND key value`
pub fn append(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let (key, tail) = (ctx.first_key(&args[1]), &args[2]);
    attempt(ctx, |ctx| {
        let len = match current_len(ctx, key)? {
            None => {
                ctx.set(key, tail, None)?;
                tail.len()
            }
            Some(len) => {
                check_len(ctx, len, tail.len())?;
                ctx.append(key, tail)?
            }
        };
        ctx.reply.integer(len as i64);
        Ok(())
    });
}

/// `SETRANGE key offset value`
pub fn setrange(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let (key, part) = (ctx.first_key(&args[1]), &args[3]);
    attempt(ctx, |ctx| {
        let offset = parse_i64(&args[2]).ok_or(NOT_AN_INTEGER)?;
        let offset = usize::try_from(offset).map_err(|_| NEGATIVE_OFFSET)?;
        let current = current_len(ctx, key)?.unwrap_or(0);
        let len = if part.is_empty() {
            current
        } else {
            check_len(ctx, offset, part.len())?;
            ctx.set_range(key, offset, part)?
        };
        ctx.reply.integer(len as i64);
        Ok(())
    });
}

/// The length of the string that is about to change; `None` if the key is missing.
fn current_len(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result<Option<usize>, &'static str> {
    ctx.for_write(key, |entry, _| entry.map(text_len).transpose())
}

/// Fails if a string of `start + added` bytes is over `proto-max-bulk-len`.
fn check_len(ctx: &Ctx<'_>, start: usize, added: usize) -> Result<(), &'static str> {
    let len = start.checked_add(added).ok_or(STRING_TOO_LONG)?;
    if len as u64 > ctx.env.max_string_bytes {
        Err(STRING_TOO_LONG)
    } else {
        Ok(())
    }
}

/// `GETRANGE key start end`, `SUBSTR key start end`
pub fn getrange(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    let (Some(start), Some(end)) = (parse_i64(&args[2]), parse_i64(&args[3])) else {
        return ctx.reply.error(NOT_AN_INTEGER);
    };
    ctx.read(key, |entry, reply| {
        let Some(entry) = entry else {
            return reply.bulk(b"");
        };
        let written = with_text(entry, |text| reply.bulk(inclusive_range(text, start, end)));
        if let Err(text) = written {
            reply.error(text);
        }
    });
}

/// `text[start..=end]` with negative positions counted from the end; empty where they cross.
fn inclusive_range(text: &[u8], start: i64, end: i64) -> &[u8] {
    // Lengths are below 2^63, so the sums cannot overflow.
    let len = text.len() as i64;
    let from_start = |position: i64| {
        if position < 0 {
            (position + len).max(0)
        } else {
            position
        }
    };
    let crossed = start < 0 && end < 0 && start > end;
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if crossed || start > end {
        &[]
    } else {
        &text[start as usize..=end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive_and_clamped() {
        for (start, end, expected) in [
            (0, -1, "hello"),
            (1, 3, "ell"),
            (-3, -1, "llo"),
            (-100, 1, "he"),
            (3, 100, "lo"),
            (4, 3, ""),
            (-1, -3, ""),
            (5, 5, ""),
            // Both before the start: clamped to the first byte.
            (-100, -50, "h"),
            (i64::MIN, i64::MAX, "hello"),
        ] {
            let range = inclusive_range(b"hello", start, end);
            assert_eq!(range, expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(inclusive_range(b"", 0, -1), b"");
    }
}
