//! The options of SET and GETEX: when to write, what to reply, how long the key lives.

use hexad_resp::{Args, parse_i64};

use super::errors::{ErrorText, NOT_AN_INTEGER, SYNTAX, invalid_expire};

/// Which of the two commands the options belong to; each has some that the other lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// NX, XX, GET, KEEPTTL and the expiries.
    Set,
    /// PERSIST and the expiries.
    GetEx,
}

/// When SET writes at all.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Only if the key is absent (NX).
    Absent,
    /// Only if the key is there (XX).
    Present,
}

/// What becomes of the key's expiry.
#[derive(Clone, Copy)]
pub(super) enum Lifetime<'a> {
    /// Nothing was said: SET drops it, GETEX leaves it.
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Persist,
    /// EX, PX, EXAT or PXAT with its argument.
    Until(ExpireArg<'a>),
}

/// The unit and origin of an expiry argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeKind {
    /// EX: seconds from now.
    Seconds,
    /// PX: milliseconds from now.
    Milliseconds,
    /// EXAT: Unix time in seconds.
    UnixSeconds,
    /// PXAT: Unix time in milliseconds.
    UnixMilliseconds,
}

/// An expiry as it stands in a command.
#[derive(Clone, Copy)]
pub(super) struct ExpireArg<'a> {
    /// Its unit and origin.
    pub(super) kind: TimeKind,
    /// The number's text, not checked yet.
    pub(super) text: &'a [u8],
}

/// The parsed options.
pub(super) struct Options<'a> {
    pub(super) condition: Condition,
    /// GET: reply the old value.
    pub(super) get: bool,
    pub(super) lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    /// Parses the options in `args`, which starts behind the fixed arguments. An option may be
    /// repeated, the last one counts; any two different ones about the lifetime contradict each
    /// other, and so do NX and XX.
    pub(super) fn parse(args: Args<'a>, dialect: Dialect) -> Result<Self, &'static str> {
        let mut options = Self {
            condition: Condition::Always,
            get: false,
            lifetime: Lifetime::Unsaid,
        };
        let mut rest = args.iter();
        while let Some(option) = rest.next() {
            options.take(option, &mut rest, dialect).ok_or(SYNTAX)?;
        }
        Ok(options)
    }

    fn take(
        &mut self,
        option: &[u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
        dialect: Dialect,
    ) -> Option<()> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let set = dialect == Dialect::Set;
        match () {
            () if set && is("nx") && self.condition != Condition::Present => {
                self.condition = Condition::Absent;
            }
            () if set && is("xx") && self.condition != Condition::Absent => {
                self.condition = Condition::Present;
            }
            () if set && is("get") => self.get = true,
            () if set && is("keepttl") => self.lifetime = self.lifetime.then(Lifetime::Keep)?,
            () if !set && is("persist") => self.lifetime = self.lifetime.then(Lifetime::Persist)?,
            () => {
                let kind = TimeKind::named(option)?;
                let until = Lifetime::Until(ExpireArg {
                    kind,
                    text: rest.next()?,
                });
                self.lifetime = self.lifetime.then(until)?;
            }
        }
        Some(())
    }
}

impl Lifetime<'_> {
    /// The later option, if it is of the same kind as the earlier one.
    fn then(self, next: Self) -> Option<Self> {
        let compatible = match (self, next) {
            (Self::Unsaid, _) | (Self::Keep, Self::Keep) | (Self::Persist, Self::Persist) => true,
            (Self::Until(before), Self::Until(now)) => before.kind == now.kind,
            _ => false,
        };
        compatible.then_some(next)
    }
}

impl TimeKind {
    fn named(option: &[u8]) -> Option<Self> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        Some(match () {
            () if is("ex") => Self::Seconds,
            () if is("px") => Self::Milliseconds,
            () if is("exat") => Self::UnixSeconds,
            () if is("pxat") => Self::UnixMilliseconds,
            () => return None,
        })
    }

    /// Whether the argument is a point in time, not a duration.
    pub(super) fn is_absolute(self) -> bool {
        matches!(self, Self::UnixSeconds | Self::UnixMilliseconds)
    }

    /// `amount` of this kind as Unix milliseconds; `None` on overflow.
    pub(super) fn to_unix_ms(self, amount: i64, now_ms: i64) -> Option<i64> {
        let amount_ms = match self {
            Self::Seconds | Self::UnixSeconds => amount.checked_mul(1000)?,
            Self::Milliseconds | Self::UnixMilliseconds => amount,
        };
        if self.is_absolute() {
            Some(amount_ms)
        } else {
            amount_ms.checked_add(now_ms)
        }
    }
}

impl ExpireArg<'_> {
    /// The Unix time in milliseconds that the argument stands for; it must be positive and not
    /// overflow. `command` is named in the error.
    pub(super) fn resolve(self, now_ms: i64, command: &str) -> Result<i64, ErrorText> {
        let amount = parse_i64(self.text).ok_or(NOT_AN_INTEGER)?;
        let unix_ms = (amount > 0)
            .then(|| self.kind.to_unix_ms(amount, now_ms))
            .flatten();
        unix_ms.ok_or_else(|| invalid_expire(command))
    }
}
