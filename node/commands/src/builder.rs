//! How the table's entries are written: a constructor per kind of handler, then what differs from
//! the defaults, all at compile time.

use crate::command::{Command, Handler, PureHandler, ServerCommand};
use crate::docs::{Arg, Deprecated, Docs, Group};
use crate::flags::{AclCategories, CommandFlags};
use crate::keys::{KeyFlags, KeySpec};
use crate::{Args, DataHandler, KeyspaceHandler};

/// A command on one partition.
pub(crate) const fn data(name: &'static str, arity: i16, handler: DataHandler) -> Command {
    command(name, arity, Handler::Data(handler))
}

/// A command on all partitions, one after another.
pub(crate) const fn keyspace(name: &'static str, arity: i16, handler: KeyspaceHandler) -> Command {
    command(name, arity, Handler::Keyspace(handler))
}

/// A command on nothing but its arguments.
pub(crate) const fn pure(name: &'static str, arity: i16, handler: PureHandler) -> Command {
    command(name, arity, Handler::Pure(handler))
}

/// A command of the server.
pub(crate) const fn server(name: &'static str, arity: i16, handler: ServerCommand) -> Command {
    command(name, arity, Handler::Server(handler))
}

/// A command that has subcommands and does nothing by itself.
pub(crate) const fn container(name: &'static str, nested: &'static [Command]) -> Command {
    command(name, -2, Handler::Container)
        .nested(nested)
        .complexity("Depends on the subcommand.")
}

const fn command(full_name: &'static str, arity: i16, handler: Handler) -> Command {
    Command {
        name: after_bar(full_name),
        full_name,
        index: 0,
        arity,
        flags: CommandFlags::empty(),
        acl: AclCategories::SLOW,
        key_specs: &[],
        key_flags: None,
        fast_key: 0,
        handler,
        tips: &[],
        docs: Docs {
            summary: "",
            since: "1.0.0",
            group: Group::Generic,
            complexity: "O(1)",
            syscmd: false,
            deprecated: None,
            history: &[],
            args: &[],
        },
        nested: &[],
        children: (0, 0),
    }
}

/// `kill` of `client|kill`; all of a name without a bar.
const fn after_bar(name: &'static str) -> &'static str {
    let mut index = 0;
    while index < name.len() {
        if name.as_bytes()[index] == b'|' {
            return name.split_at(index + 1).1;
        }
        index += 1;
    }
    name
}

impl Command {
    /// What it does and since when.
    pub(crate) const fn about(mut self, since: &'static str, summary: &'static str) -> Self {
        self.docs.since = since;
        self.docs.summary = summary;
        self
    }

    /// Its cost, where that is not constant.
    pub(crate) const fn complexity(mut self, complexity: &'static str) -> Self {
        self.docs.complexity = complexity;
        self
    }

    /// Its flags and the ACL categories that follow from them.
    pub(crate) const fn flags(mut self, flags: &[CommandFlags]) -> Self {
        let mut index = 0;
        while index < flags.len() {
            self.flags = self.flags.union(flags[index]);
            index += 1;
        }
        let explicit = self.acl.difference(AclCategories::SLOW);
        self.acl = explicit.union(AclCategories::implied_by(self.flags));
        self
    }

    /// ACL categories that do not follow from its flags.
    pub(crate) const fn acl(mut self, acl: &[AclCategories]) -> Self {
        let mut index = 0;
        while index < acl.len() {
            self.acl = self.acl.union(acl[index]);
            index += 1;
        }
        self
    }

    /// Where its keys are.
    pub(crate) const fn key_specs(mut self, key_specs: &'static [KeySpec]) -> Self {
        self.key_specs = key_specs;
        self.fast_key = match key_specs {
            [first, ..] => first.fixed_first_key(),
            [] => 0,
        };
        self
    }

    /// What it does to its keys, where that depends on its options.
    pub(crate) const fn key_flags(mut self, key_flags: fn(&Args<'_>) -> KeyFlags) -> Self {
        self.key_flags = Some(key_flags);
        self
    }

    /// Hints for clients.
    pub(crate) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Its syntax.
    pub(crate) const fn args(mut self, args: &'static [Arg]) -> Self {
        self.docs.args = args;
        self
    }

    /// Changes: version and what changed.
    pub(crate) const fn history(
        mut self,
        history: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.docs.history = history;
        self
    }

    /// No longer advised, since when and what instead.
    pub(crate) const fn deprecated(
        mut self,
        since: &'static str,
        replaced_by: &'static str,
    ) -> Self {
        self.docs.deprecated = Some(Deprecated { since, replaced_by });
        self
    }

    /// For operators and developers of the server only.
    pub(crate) const fn syscmd(mut self) -> Self {
        self.docs.syscmd = true;
        self
    }

    /// Its subcommands.
    pub(crate) const fn nested(mut self, nested: &'static [Command]) -> Self {
        self.nested = nested;
        self
    }
}
