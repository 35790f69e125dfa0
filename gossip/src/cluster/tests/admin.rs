//! The commands of an administrator: what they refuse, and what they do.

use super::lone::{Lone, id, words};
use super::*;

fn set_slot(number: u16, action: SetSlot, keys_in_slot: usize) -> Admin {
    Admin::SetSlot {
        slot: slot(number),
        action,
        keys_in_slot,
    }
}

#[test]
fn refusals_have_the_texts_of_redis() {
    let replica = format!(
        "{} 10.0.0.0:7000@17000 myself,slave {b} 0 0 0 connected\n\
         {b} 10.0.0.1:7000@17000 master - 0 0 2 connected 0-16383\n\
         {} 10.0.0.3:7000@17000 slave {b} 0 0 2 connected\n",
        id('a'),
        id('d'),
        b = id('b'),
    );
    let (x, d) = (id('x'), id('d'));
    let with_replica = Lone::new().cluster.nodes_conf().replace(
        "vars",
        &format!(
            "{d} 10.0.0.3:7000@17000 slave {} 0 0 2 connected\nvars",
            id('b')
        ),
    );
    let primary = |admin| Lone::from_file(&with_replica).admin(admin).unwrap_err();
    let replica = |admin| Lone::from_file(&replica).admin(admin).unwrap_err();
    let meet = |ip: &str, port, bus_port| Admin::Meet {
        ip: ip.parse().unwrap(),
        port,
        bus_port,
    };
    for (refusal, text) in [
        (
            primary(meet("1.2.3.4", 0, 10000)),
            "ERR Invalid node address specified: 1.2.3.4:0",
        ),
        (
            primary(meet("0.0.0.0", 7, 10007)),
            "ERR Invalid node address specified: 0.0.0.0:7",
        ),
        (
            primary(Admin::AddSlots(slots("99-150"))),
            "ERR Slot 99 is already busy",
        ),
        (
            replica(Admin::AddSlots(slots("1"))),
            "ERR Please use ADDSLOTS only with masters.",
        ),
        (
            primary(Admin::FlushSlots {
                dataset_empty: false,
            }),
            "ERR DB must be empty to perform CLUSTER FLUSHSLOTS.",
        ),
        (
            primary(set_slot(100, SetSlot::Migrating(id('b')), 0)),
            "ERR I'm not the owner of hash slot 100",
        ),
        (
            primary(set_slot(1, SetSlot::Migrating(x), 0)),
            &format!("ERR I don't know about node {x}"),
        ),
        (
            primary(set_slot(1, SetSlot::Migrating(d), 0)),
            "ERR Target node is not a master",
        ),
        (
            primary(set_slot(1, SetSlot::Importing(id('b')), 0)),
            "ERR I'm already the owner of hash slot 1",
        ),
        (
            primary(set_slot(100, SetSlot::Importing(x), 0)),
            &format!("ERR I don't know about node {x}"),
        ),
        (
            primary(set_slot(1, SetSlot::Node(x), 0)),
            &format!("ERR Unknown node {x}"),
        ),
        (
            primary(set_slot(1, SetSlot::Node(d), 0)),
            "ERR Target node is not a master",
        ),
        (
            primary(set_slot(1, SetSlot::Node(id('b')), 3)),
            "ERR Can't assign hashslot 1 to a different node while I still hold keys for this hash \
             slot.",
        ),
        (
            replica(set_slot(1, SetSlot::Stable, 0)),
            "ERR Please use SETSLOT only with masters.",
        ),
        (primary(Admin::Forget(x)), &format!("ERR Unknown node {x}")),
        (
            primary(Admin::Forget(id('a'))),
            "ERR I tried hard but I can't forget myself...",
        ),
        (
            replica(Admin::Forget(id('b'))),
            "ERR Can't forget my master!",
        ),
        (
            primary(Admin::Replicate {
                primary: x,
                dataset_empty: true,
            }),
            &format!("ERR Unknown node {x}"),
        ),
        (
            primary(Admin::Replicate {
                primary: id('a'),
                dataset_empty: true,
            }),
            "ERR Can't replicate myself",
        ),
        (
            primary(Admin::Replicate {
                primary: d,
                dataset_empty: true,
            }),
            "ERR I can only replicate a master, not a replica.",
        ),
        (
            primary(Admin::Replicate {
                primary: id('b'),
                dataset_empty: true,
            }),
            "ERR To set a master the node must be empty and without assigned slots.",
        ),
        (
            primary(Admin::Reset {
                hard: true,
                dataset_empty: false,
            }),
            "ERR CLUSTER RESET can't be called with master nodes containing keys",
        ),
        (
            primary(Admin::SetConfigEpoch(1)),
            "ERR The user can assign a config epoch only when the node does not know any other node.",
        ),
    ] {
        assert_eq!(refusal, text);
    }
    let mut alone = Cluster::new(config(), 1, START);
    assert_eq!(
        alone.admin(START, Admin::SetConfigEpoch(3)),
        Ok(AdminOk::Done)
    );
    let again = alone.admin(START, Admin::SetConfigEpoch(4)).unwrap_err();
    assert_eq!(
        again.to_string(),
        "ERR Node config epoch is already non-zero"
    );
    let free = alone.admin(START, Admin::DelSlots(slots("2"))).unwrap_err();
    assert_eq!(free.to_string(), "ERR Slot 2 is already unassigned");
}

#[test]
fn slots_are_added_all_or_none() {
    let mut lone = Lone::new();
    lone.admin(Admin::DelSlots(slots("100-199"))).unwrap();
    assert!(lone.admin(Admin::AddSlots(slots("100-200"))).is_err());
    assert_eq!(lone.cluster.view().myself().slot_count, 100);
    let outputs = lone.admin(Admin::AddSlots(slots("100-110"))).unwrap();
    assert_eq!(words(&outputs)[0], "persist");
    assert_eq!(lone.cluster.view().myself().slot_count, 111);
    assert!(
        words(&lone.tick(100)).contains(&"send pong".to_owned()),
        "all are told at once"
    );
    lone.admin(Admin::FlushSlots {
        dataset_empty: true,
    })
    .unwrap();
    assert_eq!(lone.cluster.view().myself().slot_count, 0);
}

#[test]
fn an_epoch_is_bumped_unless_it_is_the_highest() {
    let mut lone = Lone::new();
    let mut bump = || lone.cluster.admin(lone.now, Admin::BumpEpoch).unwrap();
    assert_eq!(
        bump(),
        AdminOk::Epoch {
            epoch: 6,
            bumped: true
        }
    );
    assert_eq!(
        bump(),
        AdminOk::Epoch {
            epoch: 6,
            bumped: false
        }
    );
}

#[test]
fn save_config_writes_the_file() {
    let mut lone = Lone::new();
    let outputs = lone.admin(Admin::SaveConfig).unwrap();
    assert_eq!(words(&outputs), ["persist", "view"]);
    assert_eq!(
        outputs[0],
        Output::Persist(lone.cluster.nodes_conf().into_bytes())
    );
}

#[test]
fn a_soft_reset_forgets_the_others_and_a_hard_one_everything() {
    for hard in [false, true] {
        let mut lone = Lone::new();
        let inbound = lone.accept();
        let outputs = lone
            .admin(Admin::Reset {
                hard,
                dataset_empty: true,
            })
            .unwrap();
        assert_eq!(words(&outputs)[0], "persist");
        let closed = outputs
            .iter()
            .filter(|output| matches!(output, Output::Close { .. }))
            .count();
        assert_eq!(closed, 2, "the links to b and to c");
        let view = lone.cluster.view();
        assert_eq!(
            (view.nodes.len(), view.myself().slot_count, view.size),
            (1, 0, 0)
        );
        assert!(!view.state.is_ok());
        assert_eq!(view.myself().id == id('a'), !hard);
        let epochs = if hard { (0, 0) } else { (5, 1) };
        assert_eq!((view.current_epoch, view.my_epoch), epochs);
        assert_eq!(
            lone.input(Input::Closed {
                link: inbound,
                refused: false
            }),
            []
        );
    }
}

#[test]
fn a_replica_that_is_reset_is_an_empty_primary() {
    let mut net = Net::primaries(3);
    net.hosts.push(Net::strangers(4).hosts.pop().unwrap());
    net.meet(3, 0);
    net.run(2000);
    let primary = net.id(0);
    net.admin(
        3,
        Admin::Replicate {
            primary,
            dataset_empty: true,
        },
    );
    net.run(1000);
    net.admin(
        3,
        Admin::Reset {
            hard: false,
            dataset_empty: false,
        },
    );
    assert_eq!(net.hosts[3].dropped, [SlotBitmap::full()]);
    assert_eq!(net.view(3).myself().flags.to_words(), "myself,master");
}

#[test]
fn a_node_that_all_forget_is_out() {
    let mut net = Net::primaries(3);
    net.hosts.push(Net::strangers(4).hosts.pop().unwrap());
    net.meet(3, 0);
    net.run(2000);
    let id = net.id(3);
    for at in 0..3 {
        net.admin(at, Admin::Forget(id));
    }
    net.run(30_000);
    assert!(
        (0..3).all(|at| net.view(at).nodes.len() == 3),
        "though it goes on to ping them"
    );
    assert_eq!(net.view(3).nodes.len(), 4);
    net.meet(0, 3);
    net.run(3000);
    assert_eq!(net.view(0).nodes.len(), 4, "a MEET lets it in again");
    net.run(30_000);
    net.assert_agreement();
    assert_eq!(
        net.view(1).nodes.len(),
        4,
        "and gossip spreads it when the minute is over"
    );
}

#[test]
fn the_texts_are_those_of_redis() {
    let mut lone = Lone::new();
    let view = lone.cluster.view();
    let lines = view.nodes_text(false);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "{} 10.0.0.0:7000@17000 myself,master - 0 0 1 connected 0-99",
            id('a')
        )
    );
    assert_eq!(
        lines[1],
        format!(
            "{} 10.0.0.1:7000@17000 master - 0 {} 2 connected 100-199",
            id('b'),
            lone.now
        )
    );
    assert_eq!(
        lines[2],
        format!(
            "{} 10.0.0.2:7000@17000 master - {} 0 3 disconnected 200-16383",
            id('c'),
            lone.now
        )
    );
    assert_eq!(
        view.info_text(),
        "cluster_state:fail\r\n\
         cluster_slots_assigned:16384\r\n\
         cluster_slots_ok:16384\r\n\
         cluster_slots_pfail:0\r\n\
         cluster_slots_fail:0\r\n\
         cluster_known_nodes:3\r\n\
         cluster_size:3\r\n\
         cluster_current_epoch:5\r\n\
         cluster_my_epoch:1\r\n\
         cluster_stats_messages_ping_sent:1\r\n\
         cluster_stats_messages_sent:1\r\n\
         cluster_stats_messages_pong_received:1\r\n\
         cluster_stats_messages_received:1\r\n"
    );
    lone.cluster.reset_stats();
    assert_eq!(lone.cluster.view().stats, Stats::default());
}
