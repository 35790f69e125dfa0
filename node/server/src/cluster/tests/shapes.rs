//! The replies that show a view, byte for byte as Redis 7.0.15 shapes them.

use hexad_gossip::{PreferredEndpoint, View};
use hexad_resp::{Proto, Reply};

use super::node::TestNode;
use crate::cluster::command::{Outcome, execute};
use crate::cluster::testing::{FAILED, Keys, ME, OTHER, REPLICA, Words, view};

fn reply(view: &View, proto: Proto, line: &str) -> String {
    let mut reply = Reply::new();
    reply.set_proto(proto);
    let words = Words::new(line);
    let outcome = execute(&words.args(), view, &Keys::default(), &mut reply);
    assert_eq!(outcome, Outcome::Answered);
    String::from_utf8(reply.take()).expect("text")
}

/// A reply spelled with blanks for line ends; `"` is nothing, to write empty strings.
fn wire(text: &str) -> String {
    text.split_whitespace()
        .map(|word| word.replace('"', "") + "\r\n")
        .collect()
}

#[test]
fn slots_by_ip() {
    let view = view(|_| {});
    let expected = wire(&format!(
        "*3
         *3 :0 :5460 *4 $9 127.0.0.1 :7001 $40 {ME} *2 $8 hostname $10 me.example
         *3 :5461 :10922 *4 $9 127.0.0.1 :7002 $40 {OTHER} *0
         *3 :10923 :16382 *4 $11 2001:db8::3 :7003 $40 {FAILED} *2 $8 hostname $11 far.example"
    ));
    assert_eq!(reply(&view, Proto::Resp2, "CLUSTER SLOTS"), expected);
}

#[test]
fn slots_by_hostname_and_by_nothing() {
    let by_name = view(|config| config.preferred_endpoint = PreferredEndpoint::Hostname);
    let text = reply(&by_name, Proto::Resp3, "CLUSTER SLOTS");
    let mine = format!("*4 $10 me.example :7001 $40 {ME} %1 $2 ip $9 127.0.0.1");
    assert!(text.contains(&wire(&mine)), "{text}");
    let nameless = format!("*4 $1 ? :7002 $40 {OTHER} %1 $2 ip $9 127.0.0.1");
    assert!(text.contains(&wire(&nameless)), "{text}");

    let unknown = view(|config| config.preferred_endpoint = PreferredEndpoint::UnknownEndpoint);
    let mine = |null, map| {
        wire(&format!(
            "*4 {null} :7001 $40 {ME} {map} $2 ip $9 127.0.0.1 $8 hostname $10 me.example"
        ))
    };
    let text = reply(&unknown, Proto::Resp2, "CLUSTER SLOTS");
    assert!(text.contains(&mine("$-1", "*4")), "{text}");
    let text = reply(&unknown, Proto::Resp3, "CLUSTER SLOTS");
    assert!(text.contains(&mine("_", "%2")), "{text}");
}

#[test]
fn shards() {
    let view = view(|_| {});
    let text = reply(&view, Proto::Resp3, "CLUSTER SHARDS");
    assert!(text.starts_with("*3\r\n%2\r\n"), "{text}");
    let mine = wire(&format!(
        "%2 $5 slots *2 :0 :5460 $5 nodes *2
         %8 $2 id $40 {ME} $4 port :7001 $2 ip $9 127.0.0.1 $8 endpoint $9 127.0.0.1
            $8 hostname $10 me.example $4 role $6 master $18 replication-offset :0
            $6 health $6 online
         %7 $2 id $40 {REPLICA} $4 port :7004 $2 ip $9 127.0.0.1 $8 endpoint $9 127.0.0.1
            $4 role $7 replica $18 replication-offset :0 $6 health $7 loading"
    ));
    assert!(text.contains(&mine), "{text}");
    let failed = wire("$4 role $6 master $18 replication-offset :0 $6 health $4 fail");
    assert!(text.contains(&failed), "{text}");
    let flat = mine
        .replace("%2", "*4")
        .replace("%8", "*16")
        .replace("%7", "*14");
    let text = reply(&view, Proto::Resp2, "CLUSTER SHARDS");
    assert!(text.contains(&flat), "{text}");
}

#[test]
fn nodes_are_verbatim_text_in_resp3() {
    let view = view(|_| {});
    let text = reply(&view, Proto::Resp3, "CLUSTER NODES");
    assert!(text.contains("\r\ntxt:") && text.starts_with('='), "{text}");
    let line = format!(
        "{ME} 127.0.0.1:7001@17001,me.example myself,master - 0 0 1 connected 0-5460 \
         [5->-{OTHER}] [7000-<-{OTHER}]\n"
    );
    assert!(text.contains(&line), "{text}");
    let text = reply(&view, Proto::Resp2, "CLUSTER NODES");
    assert!(text.starts_with('$'), "{text}");
}

#[test]
fn info_of_a_new_node() {
    let node = TestNode::start();
    let fresh = "cluster_state:fail\r\ncluster_slots_assigned:0\r\ncluster_slots_ok:0\r\n\
                 cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:1\r\n\
                 cluster_size:0\r\ncluster_current_epoch:0\r\ncluster_my_epoch:0\r\n\
                 cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n\
                 total_cluster_links_buffer_limit_exceeded:0\r\n";
    assert_eq!(
        node.run("CLUSTER INFO"),
        format!("${}\r\n{fresh}\r\n", fresh.len())
    );
    let text = node.run_words(&Words::new("CLUSTER INFO"), Proto::Resp3);
    assert_eq!(text, format!("={}\r\ntxt:{fresh}\r\n", fresh.len() + 4));
}
