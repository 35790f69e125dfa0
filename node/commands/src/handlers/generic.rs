//! Keys of any type: DEL, EXISTS, RENAME, COPY, MOVE and their relatives.

use hexad_resp::{Args, parse_i64};

use super::errors::{
    DB_OUT_OF_RANGE, ErrorText, NO_SUCH_KEY, NOT_AN_INT, NOT_AN_INTEGER, SAME_OBJECT, SYNTAX,
    attempt,
};
use super::value::type_name;
use crate::Ctx;
use crate::context::Key;

const COPY_IN_CLUSTER: &str = "ERR Copying to another database is not allowed in cluster mode";
const MOVE_IN_CLUSTER: &str = "ERR MOVE is not allowed in cluster mode";

/// `DEL key [key ...]`, `UNLINK key [key ...]`
///
/// Freeing a string takes no longer than unlinking it, so both are one.
pub fn del(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let deleted = count_keys(ctx, args, |ctx, key| ctx.remove(key));
    ctx.reply.integer(deleted);
}

/// `EXISTS key [key ...]`
pub fn exists(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let found = count_keys(ctx, args, |ctx, key| {
        ctx.peek(key, |entry, _| entry.is_some())
    });
    ctx.reply.integer(found);
}

/// `TOUCH key [key ...]`
pub fn touch(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let found = count_keys(ctx, args, |ctx, key| {
        ctx.read(key, |entry, _| entry.is_some())
    });
    ctx.reply.integer(found);
}

fn count_keys(
    ctx: &mut Ctx<'_>,
    args: &Args<'_>,
    mut matches: impl FnMut(&mut Ctx<'_>, Key<'_>) -> bool,
) -> i64 {
    let mut count = 0;
    for name in args.slice(1) {
        let key = ctx.key(name);
        count += i64::from(matches(ctx, key));
    }
    count
}

/// `TYPE key`
pub fn type_of(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let key = ctx.first_key(&args[1]);
    ctx.peek(key, |entry, reply| {
        reply.simple(entry.map_or("none", type_name))
    });
}

/// `RENAME key newkey`
pub fn rename(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    attempt(ctx, |ctx| {
        rename_unless(ctx, args, |_, _| false)?;
        ctx.reply.ok();
        Ok(())
    });
}

/// `RENAMENX key newkey`
pub fn renamenx(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    attempt(ctx, |ctx| {
        let renamed = rename_unless(ctx, args, |ctx, to| ctx.exists_for_write(to))?;
        ctx.reply.integer(i64::from(renamed));
        Ok(())
    });
}

/// Renames unless `taken` says that the new name is. A key renamed to itself stays as it is, and
/// counts as not renamed.
fn rename_unless(
    ctx: &mut Ctx<'_>,
    args: &Args<'_>,
    taken: impl FnOnce(&mut Ctx<'_>, Key<'_>) -> bool,
) -> Result<bool, ErrorText> {
    let (from, to) = (ctx.first_key(&args[1]), ctx.key(&args[2]));
    if !ctx.exists_for_write(from) {
        return Err(NO_SUCH_KEY.into());
    }
    if from.bytes == to.bytes || taken(ctx, to) {
        return Ok(false);
    }
    Ok(ctx.rename(from, to)?)
}

/// `COPY source destination [DB destination-db] [REPLACE]`
pub fn copy(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    attempt(ctx, |ctx| {
        let copied = try_copy(ctx, args)?;
        ctx.reply.integer(i64::from(copied));
        Ok(())
    });
}

fn try_copy(ctx: &mut Ctx<'_>, args: &Args<'_>) -> Result<bool, ErrorText> {
    let (from, to) = (ctx.first_key(&args[1]), ctx.key(&args[2]));
    let (target, replace) = copy_options(ctx, args.slice(3))?;
    if ctx.env.cluster && (ctx.db != 0 || target != 0) {
        return Err(COPY_IN_CLUSTER.into());
    }
    if ctx.db == target && from.bytes == to.bytes {
        return Err(SAME_OBJECT.into());
    }
    if !ctx.read(from, |entry, _| entry.is_some()) {
        return Ok(false);
    }
    let taken = ctx.in_db(target, |ctx| ctx.exists_for_write(to));
    if taken && !replace {
        return Ok(false);
    }
    Ok(ctx.copy(from, target, to)?)
}

/// The target database and whether to replace.
fn copy_options(ctx: &Ctx<'_>, args: Args<'_>) -> Result<(usize, bool), ErrorText> {
    let (mut target, mut replace) = (ctx.db, false);
    let mut rest = args.iter();
    while let Some(option) = rest.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            replace = true;
        } else if option.eq_ignore_ascii_case(b"db") {
            target = database(ctx, rest.next().ok_or(SYNTAX)?)?;
        } else {
            return Err(SYNTAX.into());
        }
    }
    Ok((target, replace))
}

/// `MOVE key db`
pub fn move_key(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    attempt(ctx, |ctx| {
        let moved = try_move(ctx, args)?;
        ctx.reply.integer(i64::from(moved));
        Ok(())
    });
}

fn try_move(ctx: &mut Ctx<'_>, args: &Args<'_>) -> Result<bool, ErrorText> {
    if ctx.env.cluster {
        return Err(MOVE_IN_CLUSTER.into());
    }
    let key = ctx.first_key(&args[1]);
    let target = database(ctx, &args[2])?;
    if target == ctx.db {
        return Err(SAME_OBJECT.into());
    }
    if !ctx.exists_for_write(key) || ctx.in_db(target, |ctx| ctx.exists_for_write(key)) {
        return Ok(false);
    }
    Ok(ctx.move_to_db(key, target))
}

/// Reads the number of a database of this partition. In cluster mode, where a partition has one, any
/// number will do: the caller refuses all but 0.
fn database(ctx: &Ctx<'_>, text: &[u8]) -> Result<usize, ErrorText> {
    let number = parse_i64(text).ok_or(NOT_AN_INTEGER)?;
    let number = i32::try_from(number).map_err(|_| NOT_AN_INT)?;
    let known = usize::try_from(number)
        .ok()
        .filter(|&number| ctx.env.cluster || number < ctx.partition.databases());
    known.ok_or(DB_OUT_OF_RANGE.into())
}
