//! What a node says of its cluster: CLUSTER NODES and CLUSTER INFO, parsed.

use std::collections::BTreeMap;

/// One line of CLUSTER NODES.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// The 40-character node id.
    pub id: String,
    /// `ip:port@bus-port` with what may follow.
    pub address: String,
    /// `myself`, `master`, `fail?`, `fail`, …
    pub flags: Vec<String>,
    /// The id of its master, or `-`.
    pub master: String,
    /// Unix milliseconds of the ping that waits for its pong, or 0.
    pub ping_sent: u64,
    /// Unix milliseconds of the last pong.
    pub pong_received: u64,
    /// The configuration epoch.
    pub epoch: u64,
    /// `connected` or `disconnected`.
    pub link: String,
    /// Slot ranges and migrations, as printed.
    pub slots: Vec<String>,
}

impl NodeLine {
    /// Whether the line has the flag.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    /// The client port in the address.
    #[must_use]
    pub fn port(&self) -> u16 {
        let address = self.address.split('@').next().unwrap_or_default();
        address
            .rsplit(':')
            .next()
            .and_then(|p| p.parse().ok())
            .unwrap_or(0)
    }

    /// The line without what differs between nodes and moments: `myself`, times and link state.
    #[must_use]
    pub fn lasting(&self) -> String {
        let flags: Vec<_> = self
            .flags
            .iter()
            .filter(|f| *f != "myself")
            .cloned()
            .collect();
        let Self {
            id,
            address,
            master,
            epoch,
            ..
        } = self;
        format!(
            "{id} {address} {master} {epoch} {} {}",
            flags.join(","),
            self.slots.join(" ")
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            id: words.next()?.to_owned(),
            address: words.next()?.to_owned(),
            flags: words.next()?.split(',').map(str::to_owned).collect(),
            master: words.next()?.to_owned(),
            ping_sent: words.next()?.parse().ok()?,
            pong_received: words.next()?.parse().ok()?,
            epoch: words.next()?.parse().ok()?,
            link: words.next()?.to_owned(),
            slots: words.map(str::to_owned).collect(),
        })
    }
}

/// Parses the text of CLUSTER NODES; the lines are sorted by node id.
///
/// # Panics
/// If a line is not in the stock format.
#[must_use]
#[track_caller]
pub fn parse_nodes(text: &str) -> Vec<NodeLine> {
    let parse = |line| NodeLine::parse(line).unwrap_or_else(|| panic!("not a node: {line:?}"));
    let mut nodes: Vec<_> = text.lines().map(parse).collect();
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    nodes
}

/// The fields of CLUSTER INFO.
#[derive(Clone, Debug)]
pub struct ClusterInfo(BTreeMap<String, String>);

impl ClusterInfo {
    /// Parses the reply's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// A field's text.
    ///
    /// # Panics
    /// If the field is missing.
    #[must_use]
    #[track_caller]
    pub fn get(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("no field {name} in CLUSTER INFO: {:?}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_cluster_nodes() {
        let text = "07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,host \
                    myself,slave,fail? e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4 \
                    connected 0-5460 9 [93-<-e7d1]\n";
        let nodes = parse_nodes(text);
        let node = &nodes[0];
        assert!(node.has("fail?") && !node.has("fail"));
        assert_eq!(node.port(), 30004);
        assert_eq!(node.slots, ["0-5460", "9", "[93-<-e7d1]"]);
        let lasting = node.lasting();
        assert!(
            lasting.ends_with(" 4 slave,fail? 0-5460 9 [93-<-e7d1]"),
            "{lasting}"
        );
    }
}
