//! What COMMAND DOCS tells about a command: facts about its syntax and history.

/// The documentation of a command.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    /// One line on what it does.
    pub summary: &'static str,
    /// The Redis version that introduced it.
    pub since: &'static str,
    /// What it belongs to.
    pub group: Group,
    /// Its cost, in O notation where there is one; empty where nothing can be said (SYNC).
    pub complexity: &'static str,
    /// Whether it is for operators and developers of the server only.
    pub syscmd: bool,
    /// Since when, and by what, it is replaced.
    pub deprecated: Option<Deprecated>,
    /// Changes of its syntax or reply: version and what changed.
    pub history: &'static [(&'static str, &'static str)],
    /// Its arguments.
    pub args: &'static [Arg],
}

/// A deprecation.
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    /// The version that deprecated it.
    pub since: &'static str,
    /// What to use instead.
    pub replaced_by: &'static str,
}

/// The groups of Redis's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Redis Cluster.
    Cluster,
    /// Connections.
    Connection,
    /// Keys whatever their type.
    Generic,
    /// The server.
    Server,
    /// Strings.
    String,
    /// Transactions.
    Transactions,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Server => "server",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

/// One argument of a command's syntax. Built by [`Arg::key`] and the like and the methods after it.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Its name, unique among its siblings where possible.
    pub name: &'static str,
    /// What may stand there.
    pub kind: ArgKind,
    /// The word that announces it, or that it is.
    pub token: Option<&'static str>,
    /// The key spec that finds it.
    pub key_spec: Option<u8>,
    /// The Redis version that introduced it, if younger than the command.
    pub since: Option<&'static str>,
    /// The Redis version that deprecated it.
    pub deprecated_since: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// Whether its token is repeated with it.
    pub multiple_token: bool,
    /// The choices of a [`ArgKind::OneOf`], the parts of a [`ArgKind::Block`].
    pub args: &'static [Arg],
}

/// What may stand in place of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// Any string.
    String,
    /// A 64-bit integer.
    Integer,
    /// A floating-point number.
    Double,
    /// A key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A Unix time.
    UnixTime,
    /// Nothing but its token.
    PureToken,
    /// One of its children.
    OneOf,
    /// All of its children.
    Block,
}

impl ArgKind {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

impl Arg {
    const fn new(name: &'static str, kind: ArgKind) -> Self {
        Self {
            name,
            kind,
            token: None,
            key_spec: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            args: &[],
        }
    }

    /// Any string.
    pub const fn string(name: &'static str) -> Self {
        Self::new(name, ArgKind::String)
    }

    /// An integer.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, ArgKind::Integer)
    }

    /// A floating-point number.
    pub const fn double(name: &'static str) -> Self {
        Self::new(name, ArgKind::Double)
    }

    /// A glob pattern.
    pub const fn pattern(name: &'static str) -> Self {
        Self::new(name, ArgKind::Pattern)
    }

    /// A Unix time.
    pub const fn unix_time(name: &'static str) -> Self {
        Self::new(name, ArgKind::UnixTime)
    }

    /// A key that the command's key spec number `spec` finds.
    pub const fn key(name: &'static str, spec: u8) -> Self {
        Self {
            key_spec: Some(spec),
            ..Self::new(name, ArgKind::Key)
        }
    }

    /// A word that stands for itself.
    pub const fn word(name: &'static str, token: &'static str) -> Self {
        Self::new(name, ArgKind::PureToken).after(token)
    }

    /// One of several.
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Self {
        Self {
            args,
            ..Self::new(name, ArgKind::OneOf)
        }
    }

    /// Several, one after the other.
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Self {
        Self {
            args,
            ..Self::new(name, ArgKind::Block)
        }
    }

    /// Announced by a word.
    pub const fn after(self, token: &'static str) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Introduced after the command itself.
    pub const fn since(self, version: &'static str) -> Self {
        Self {
            since: Some(version),
            ..self
        }
    }

    /// No longer advised.
    pub const fn deprecated(self, version: &'static str) -> Self {
        Self {
            deprecated_since: Some(version),
            ..self
        }
    }

    /// May be left out.
    pub const fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }

    /// May be repeated.
    pub const fn multiple(self) -> Self {
        Self {
            multiple: true,
            ..self
        }
    }

    /// Repeated with its token.
    pub const fn multiple_token(self) -> Self {
        Self {
            multiple_token: true,
            ..self
        }
    }
}
