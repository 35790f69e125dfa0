//! LCS: the longest common subsequence of two strings.

use hexad_resp::{Args, Reply, parse_i64};

use super::errors::{NOT_AN_INTEGER, SYNTAX};
use super::value::with_text;
use crate::Ctx;

const NOT_STRINGS: &str = "ERR The specified keys must contain string values";
const BOTH_LEN_AND_IDX: &str = "ERR If you want both the length and indexes, please just use IDX.";
const TABLE_OVER_LIMIT: &str =
    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
const TABLE_NOT_ALLOCATED: &str =
    "ERR Insufficient memory, failed allocating transient memory for LCS";

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub fn lcs(ctx: &mut Ctx<'_>, args: &Args<'_>) {
    let a = copy_of(ctx, &args[1]);
    let b = copy_of(ctx, &args[2]);
    let (Some(a), Some(b)) = (a, b) else {
        return ctx.reply.error(NOT_STRINGS);
    };
    let options = match Options::parse(args.slice(3)) {
        Ok(options) => options,
        Err(text) => return ctx.reply.error(text),
    };
    match Table::new(&a, &b, ctx.env.max_string_bytes) {
        Ok(table) => options.answer(&table, ctx.reply),
        Err(text) => ctx.reply.error(text),
    }
}

/// A copy of a key's string, empty if the key is missing; `None` if it holds another type.
///
/// The table takes longer by the other string's length, so the copy does not count.
fn copy_of(ctx: &mut Ctx<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let key = ctx.key(key);
    ctx.read(key, |entry, _| match entry {
        Some(entry) => with_text(entry, <[u8]>::to_vec).ok(),
        None => Some(Vec::new()),
    })
}

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: i64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Self, &'static str> {
        let mut options = Self::default();
        let mut rest = args.iter();
        while let Some(option) = rest.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("idx") {
                options.idx = true;
            } else if is("len") {
                options.len = true;
            } else if is("withmatchlen") {
                options.with_match_len = true;
            } else if is("minmatchlen") {
                let length = parse_i64(rest.next().ok_or(SYNTAX)?);
                options.min_match_len = length.ok_or(NOT_AN_INTEGER)?;
            } else {
                return Err(SYNTAX);
            }
        }
        if options.len && options.idx {
            Err(BOTH_LEN_AND_IDX)
        } else {
            Ok(options)
        }
    }

    fn answer(&self, table: &Table<'_>, reply: &mut Reply) {
        if self.len {
            return reply.integer(i64::from(table.lcs_len()));
        }
        if !self.idx {
            return reply.bulk(&table.subsequence());
        }
        reply.map(2);
        reply.bulk(b"matches");
        let runs = table.runs();
        let long_enough = || {
            runs.iter()
                .filter(|run| run.len as i64 >= self.min_match_len)
        };
        reply.array(long_enough().count());
        for run in long_enough() {
            self.write_run(run, reply);
        }
        reply.bulk(b"len");
        reply.integer(i64::from(table.lcs_len()));
    }

    fn write_run(&self, run: &Run, reply: &mut Reply) {
        reply.array(if self.with_match_len { 3 } else { 2 });
        for start in [run.a, run.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + run.len - 1) as i64);
        }
        if self.with_match_len {
            reply.integer(run.len as i64);
        }
    }
}

/// The table of the textbook algorithm: cell `(i, j)` is the length of the longest common
/// subsequence of the first `i` bytes of `a` and the first `j` of `b`.
struct Table<'a> {
    a: &'a [u8],
    b: &'a [u8],
    cells: Vec<u32>,
}

/// Equal stretches `a[run.a..][..len]` and `b[run.b..][..len]` of the common subsequence.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

impl<'a> Table<'a> {
    /// Fills the table; it must not be larger than `max_bytes`.
    fn new(a: &'a [u8], b: &'a [u8], max_bytes: u64) -> Result<Self, &'static str> {
        let count = (a.len() + 1)
            .checked_mul(b.len() + 1)
            .ok_or(TABLE_OVER_LIMIT)?;
        let bytes = count
            .checked_mul(size_of::<u32>())
            .ok_or(TABLE_OVER_LIMIT)?;
        if bytes as u64 > max_bytes {
            return Err(TABLE_OVER_LIMIT);
        }
        let mut cells = Vec::new();
        cells
            .try_reserve_exact(count)
            .map_err(|_| TABLE_NOT_ALLOCATED)?;
        cells.resize(count, 0);
        let mut table = Self { a, b, cells };
        table.fill();
        Ok(table)
    }

    fn fill(&mut self) {
        let width = self.width();
        for (i, &from_a) in self.a.iter().enumerate() {
            let (above, below) = self.cells[i * width..(i + 2) * width].split_at_mut(width);
            for (j, &from_b) in self.b.iter().enumerate() {
                below[j + 1] = if from_a == from_b {
                    above[j] + 1
                } else {
                    above[j + 1].max(below[j])
                };
            }
        }
    }

    fn width(&self) -> usize {
        self.b.len() + 1
    }

    fn cell(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width() + j]
    }

    fn lcs_len(&self) -> u32 {
        self.cell(self.a.len(), self.b.len())
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.lcs_len() as usize);
        for run in self.runs().iter().rev() {
            bytes.extend_from_slice(&self.a[run.a..run.a + run.len]);
        }
        bytes
    }

    /// The runs of one longest common subsequence, from the strings' ends to their starts. Where
    /// two ways are equally long, the walk goes back in `b`: clients see which one was taken.
    fn runs(&self) -> Vec<Run> {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        let mut runs = Vec::new();
        while i > 0 && j > 0 {
            let len = self.common_suffix(i, j);
            if len > 0 {
                (i, j) = (i - len, j - len);
                runs.push(Run { a: i, b: j, len });
            } else if self.cell(i - 1, j) > self.cell(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }

    /// How many bytes before `a[i]` and `b[j]` are equal.
    fn common_suffix(&self, i: usize, j: usize) -> usize {
        let pairs = self.a[..i].iter().rev().zip(self.b[..j].iter().rev());
        pairs.take_while(|(a, b)| a == b).count()
    }
}
