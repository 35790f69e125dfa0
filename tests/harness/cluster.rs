//! Several servers made into one cluster.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use crate::client::{Conn, Value};
use crate::server::{Kind, Server};
use crate::tools::redis_cli;
use crate::view::{ClusterInfo, NodeLine, parse_nodes};
use crate::wait::poll_until;

/// By then a new cluster agrees, however slow the machine.
const FORM_LIMIT: Duration = Duration::from_secs(60);

/// The nodes of one cluster, in the order in which they were started.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    node_timeout: Duration,
}

impl Cluster {
    /// Starts one cluster node of each kind given, none knowing another.
    #[must_use]
    #[track_caller]
    pub fn start(kinds: &[Kind], node_timeout: Duration, args: &[&str]) -> Self {
        let start = |&kind| {
            // The file may be empty: it is there for CONFIG REWRITE.
            Server::builder(kind)
                .config("")
                .cluster(node_timeout)
                .args(args)
                .start()
        };
        Self::of(kinds.iter().map(start).collect(), node_timeout)
    }

    /// Nodes that were started with this node timeout, none knowing another.
    #[must_use]
    pub fn of(nodes: Vec<Server>, node_timeout: Duration) -> Self {
        Self {
            nodes,
            node_timeout,
        }
    }

    /// Starts nodes and has stock `redis-cli` make them one cluster; waits until all agree.
    #[must_use]
    #[track_caller]
    pub fn create(kinds: &[Kind], replicas: usize, node_timeout: Duration) -> Self {
        let cluster = Self::start(kinds, node_timeout, &[]);
        cluster.create_by_redis_cli(replicas);
        cluster.wait_agreed();
        cluster
    }

    /// `redis-cli --cluster create` over all nodes; gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn create_by_redis_cli(&self, replicas: usize) -> String {
        let mut args = vec!["--cluster".to_owned(), "create".to_owned()];
        args.extend(self.nodes.iter().map(Server::address));
        args.extend(["--cluster-replicas".to_owned(), replicas.to_string()]);
        args.push("--cluster-yes".to_owned());
        redis_cli(&args)
    }

    /// The node timeout that all were started with.
    #[must_use]
    pub fn node_timeout(&self) -> Duration {
        self.node_timeout
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// CLUSTER NODES as node `index` sees it.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    #[track_caller]
    pub fn view(&self, index: usize) -> Vec<NodeLine> {
        parse_nodes(&self.nodes[index].cmd("CLUSTER NODES").text())
    }

    /// CLUSTER INFO of node `index`.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    #[track_caller]
    pub fn info(&self, index: usize) -> ClusterInfo {
        ClusterInfo::parse(&self.nodes[index].cmd("CLUSTER INFO").text())
    }

    /// The id of node `index`.
    #[must_use]
    #[track_caller]
    pub fn id(&self, index: usize) -> String {
        self.nodes[index].cmd("CLUSTER MYID").text()
    }

    /// How node `observer` sees node `subject`, found by its port.
    ///
    /// # Panics
    /// If it does not know it.
    #[must_use]
    #[track_caller]
    pub fn seen_by(&self, observer: usize, subject: usize) -> NodeLine {
        let port = self.nodes[subject].port();
        let view = self.view(observer);
        let found = view.iter().find(|node| node.port() == port);
        found
            .unwrap_or_else(|| panic!("{port} is not in the view of {observer}: {view:?}"))
            .clone()
    }

    /// Waits for a condition on the cluster; a failure shows the logs of all nodes.
    ///
    /// # Panics
    /// If it does not come true in time.
    #[track_caller]
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Result<T, String>,
    ) -> T {
        poll_until(limit, || look(self)).unwrap_or_else(|reason| {
            let logs: String = self.nodes.iter().map(Server::log_tail).collect();
            panic!("not within {limit:?}: {what}\nlast seen: {reason}\n{logs}")
        })
    }

    /// Waits until every node has the state `ok`, knows all the nodes, and shows the same ids,
    /// addresses, flags, epochs and slots, with all links up.
    ///
    /// # Panics
    /// If that does not happen in time.
    #[track_caller]
    pub fn wait_agreed(&self) {
        self.wait("all nodes agree", FORM_LIMIT, Self::check_agreed);
    }

    fn check_agreed(&self) -> Result<(), String> {
        let mut views = BTreeSet::new();
        for index in 0..self.len() {
            let reply = self.nodes[index].cmd("CLUSTER INFO");
            if reply.is_error() {
                return Err(format!("node {index} says {}", reply.text()));
            }
            let info = ClusterInfo::parse(&reply.text());
            if info.get("cluster_state") != "ok" {
                return Err(format!("the state of node {index} is {info:?}"));
            }
            let reply = self.nodes[index].cmd("CLUSTER NODES");
            if reply.is_error() {
                return Err(format!("node {index} says {}", reply.text()));
            }
            let view = parse_nodes(&reply.text());
            if view.len() != self.len() {
                return Err(format!("node {index} knows {} nodes", view.len()));
            }
            if let Some(line) = view.iter().find(|line| line.link != "connected") {
                return Err(format!("node {index} has no link to {}", line.address));
            }
            let lines: Vec<_> = view.iter().map(NodeLine::lasting).collect();
            views.insert(lines.join("\n"));
        }
        match views.len() {
            1 => Ok(()),
            _ => Err(format!(
                "views differ:\n{}",
                Vec::from_iter(views).join("\n--\n")
            )),
        }
    }

    /// A client that follows redirects between the nodes.
    #[must_use]
    pub fn client(&self) -> ClusterClient {
        ClusterClient {
            ports: self.nodes.iter().map(Server::port).collect(),
            conns: HashMap::new(),
        }
    }
}

/// A client that follows redirects, one connection to each node. It remembers no slots: each call
/// starts at the node that the caller names.
#[derive(Debug)]
pub struct ClusterClient {
    ports: Vec<u16>,
    conns: HashMap<u16, Conn>,
}

impl ClusterClient {
    /// Runs a command on node `start`, following MOVED and ASK; gives the last reply and how many
    /// redirects were followed.
    ///
    /// # Panics
    /// If the redirects lead nowhere.
    #[track_caller]
    pub fn call(&mut self, start: usize, args: &[&str]) -> (Value, usize) {
        let mut port = self.ports[start];
        let mut asking = false;
        for redirects in 0..16 {
            assert!(self.ports.contains(&port), "{args:?} led to port {port}");
            let conn = self
                .conns
                .entry(port)
                .or_insert_with(|| Conn::open(port).expect("a node"));
            if asking {
                conn.ok("ASKING");
            }
            let reply = conn.call(args);
            let Value::Error(text) = &reply else {
                return (reply, redirects);
            };
            let mut words = text.split(' ');
            asking = match words.next() {
                Some("MOVED") => false,
                Some("ASK") => true,
                _ => return (reply, redirects),
            };
            let address = words.nth(1).unwrap_or_default();
            port = address
                .rsplit(':')
                .next()
                .and_then(|p| p.parse().ok())
                .unwrap_or(0);
        }
        panic!("{args:?} is redirected without end");
    }
}

impl Index<usize> for Cluster {
    type Output = Server;

    fn index(&self, index: usize) -> &Server {
        &self.nodes[index]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, index: usize) -> &mut Server {
        &mut self.nodes[index]
    }
}
