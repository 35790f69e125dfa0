//! The connection itself.

use crate::builder::{container, pure, server};
use crate::command::{Command, ServerCommand as S};
use crate::docs::Arg;
use crate::flags::{AclCategories as A, CommandFlags as F};
use crate::pure;

pub(super) const COMMANDS: &[Command] = &[
    server("auth", -2, S::Auth)
        .about("1.0.0", "Authenticates the connection.")
        .complexity("O(N) for N passwords of the user.")
        .flags(&[
            F::NOSCRIPT,
            F::LOADING,
            F::STALE,
            F::FAST,
            F::NO_AUTH,
            F::ALLOW_BUSY,
        ])
        .acl(&[A::CONNECTION])
        .history(&[("6.0.0", "A user name before the password.")])
        .args(&[
            Arg::string("username").since("6.0.0").optional(),
            Arg::string("password"),
        ]),
    container("client", CLIENT).about("2.4.0", "Shows and controls client connections."),
    pure("echo", 2, pure::echo)
        .about("1.0.0", "Returns its argument.")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[A::CONNECTION])
        .args(&[Arg::string("message")]),
    server("hello", -1, S::Hello)
        .about(
            "6.0.0",
            "Chooses the protocol version, and may authenticate and name the connection.",
        )
        .flags(&[
            F::NOSCRIPT,
            F::LOADING,
            F::STALE,
            F::FAST,
            F::NO_AUTH,
            F::ALLOW_BUSY,
        ])
        .acl(&[A::CONNECTION])
        .history(&[(
            "6.2.0",
            "The version may be left out, to learn the current state.",
        )])
        .args(&[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block(
                    "username_password",
                    &[Arg::string("username"), Arg::string("password")],
                )
                .after("AUTH")
                .optional(),
                Arg::string("clientname").after("SETNAME").optional(),
            ],
        )
        .optional()]),
    pure("ping", -1, pure::ping)
        .about("1.0.0", "Answers PONG, or its argument.")
        .flags(&[F::FAST])
        .acl(&[A::CONNECTION])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[Arg::string("message").optional()]),
    server("quit", -1, S::Quit)
        .about("1.0.0", "Closes the connection once the reply is sent.")
        .flags(&[
            F::NOSCRIPT,
            F::LOADING,
            F::STALE,
            F::FAST,
            F::NO_AUTH,
            F::ALLOW_BUSY,
        ])
        .acl(&[A::CONNECTION]),
    server("reset", 1, S::Reset)
        .about(
            "6.2.0",
            "Brings the connection back to the state of a new one.",
        )
        .flags(&[
            F::NOSCRIPT,
            F::LOADING,
            F::STALE,
            F::FAST,
            F::NO_AUTH,
            F::ALLOW_BUSY,
        ])
        .acl(&[A::CONNECTION]),
    server("select", 2, S::Select)
        .about("1.0.0", "Chooses the connection's database.")
        .flags(&[F::LOADING, F::STALE, F::FAST])
        .acl(&[A::CONNECTION])
        .args(&[Arg::integer("index")]),
];

const CLIENT: &[Command] = &[
    server("client|getname", 2, S::ClientGetName)
        .about("2.6.9", "Returns the connection's name.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    pure("client|help", 2, pure::client_help)
        .about("5.0.0", "Lists the subcommands.")
        .flags(&[F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    server("client|id", 2, S::ClientId)
        .about(
            "5.0.0",
            "Returns the connection's number, which is never used again.",
        )
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    server("client|info", 2, S::ClientInfo)
        .about("6.2.0", "Describes this connection in one line.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .tips(&["nondeterministic_output"]),
    server("client|kill", -3, S::ClientKill)
        .about("2.4.0", "Closes connections.")
        .complexity("O(N) for N connections.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .history(&[
            ("2.8.12", "Filters instead of one address."),
            ("2.8.12", "`ID`."),
            ("3.2.0", "`TYPE master`."),
            ("5.0.0", "`TYPE replica`; `slave` still means the same."),
            ("6.2.0", "`LADDR`."),
        ])
        .args(&[Arg::one_of(
            "filter",
            &[
                Arg::string("ip:port").deprecated("2.8.12"),
                Arg::one_of(
                    "new-format",
                    &[
                        Arg::integer("client-id")
                            .after("ID")
                            .since("2.8.12")
                            .optional(),
                        Arg::one_of(
                            "normal_master_slave_pubsub",
                            &[
                                Arg::word("normal", "NORMAL"),
                                Arg::word("master", "MASTER").since("3.2.0"),
                                Arg::word("slave", "SLAVE"),
                                Arg::word("replica", "REPLICA").since("5.0.0"),
                                Arg::word("pubsub", "PUBSUB"),
                            ],
                        )
                        .after("TYPE")
                        .since("2.8.12")
                        .optional(),
                        Arg::string("username").after("USER").optional(),
                        Arg::string("ip:port").after("ADDR").optional(),
                        Arg::string("ip:port")
                            .after("LADDR")
                            .since("6.2.0")
                            .optional(),
                        Arg::string("yes/no").after("SKIPME").optional(),
                    ],
                )
                .multiple(),
            ],
        )]),
    server("client|list", -2, S::ClientList)
        .about("2.4.0", "Describes the connections, a line each.")
        .complexity("O(N) for N connections.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .tips(&["nondeterministic_output"])
        .history(&[
            ("2.8.12", "Field `id`."),
            ("5.0.0", "`TYPE`."),
            ("6.0.0", "Field `user`."),
            (
                "6.2.0",
                "`ID`; fields `argv-mem`, `tot-mem`, `laddr`, `redir`.",
            ),
            ("7.0.0", "Fields `resp`, `multi-mem`, `rbs`, `rbp`."),
            ("7.0.3", "Field `ssub`."),
        ])
        .args(&[
            Arg::one_of(
                "normal_master_replica_pubsub",
                &[
                    Arg::word("normal", "NORMAL"),
                    Arg::word("master", "MASTER"),
                    Arg::word("replica", "REPLICA"),
                    Arg::word("pubsub", "PUBSUB"),
                ],
            )
            .after("TYPE")
            .since("5.0.0")
            .optional(),
            Arg::block("id", &[Arg::integer("client-id").multiple()])
                .after("ID")
                .since("6.2.0")
                .optional(),
        ]),
    server("client|no-evict", 3, S::ClientNoEvict)
        .about(
            "7.0.0",
            "Exempts this connection from being closed for its memory use, or not.",
        )
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .args(&[Arg::one_of(
            "enabled",
            &[Arg::word("on", "ON"), Arg::word("off", "OFF")],
        )]),
    server("client|pause", -3, S::ClientPause)
        .about(
            "2.9.50",
            "Delays the commands of all clients for some time.",
        )
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .history(&[("6.2.0", "A mode: `WRITE` or `ALL`.")])
        .args(&[
            Arg::integer("timeout"),
            Arg::one_of(
                "mode",
                &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")],
            )
            .since("6.2.0")
            .optional(),
        ]),
    server("client|reply", 3, S::ClientReply)
        .about("3.2.0", "Chooses whether this connection gets replies.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .args(&[Arg::one_of(
            "on_off_skip",
            &[
                Arg::word("on", "ON"),
                Arg::word("off", "OFF"),
                Arg::word("skip", "SKIP"),
            ],
        )]),
    server("client|setname", 3, S::ClientSetName)
        .about("2.6.9", "Names this connection.")
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .args(&[Arg::string("connection-name")]),
    server("client|trackinginfo", 2, S::ClientTrackingInfo)
        .about(
            "6.2.0",
            "Tells how client-side caching is set up for this connection.",
        )
        .flags(&[F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
    server("client|unblock", -3, S::ClientUnblock)
        .about(
            "5.0.0",
            "Wakes up a client that waits in a blocking command.",
        )
        .complexity("O(log N) for N connections.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION])
        .args(&[
            Arg::integer("client-id"),
            Arg::one_of(
                "timeout_error",
                &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")],
            )
            .optional(),
        ]),
    server("client|unpause", 2, S::ClientUnpause)
        .about("6.2.0", "Ends CLIENT PAUSE.")
        .complexity("O(N) for N paused clients.")
        .flags(&[F::ADMIN, F::NOSCRIPT, F::LOADING, F::STALE])
        .acl(&[A::CONNECTION]),
];
