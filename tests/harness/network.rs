//! Network namespaces of the test's own, and links between them that are cut and healed.
//!
//! Each node gets a namespace with one address on a common bridge; this process stays outside, with
//! an address on the bridge too, and reaches every node whatever is cut. Who may send to whom is
//! decided by the neighbour tables, which are all static: a cut link is an entry that leads to a
//! hardware address nobody has, so packets vanish without a word, as they do in a real partition,
//! and in that direction only. No kernel module for filtering is needed.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// The third byte of the networks' addresses, 10.198.N.0/24, is drawn from here.
const SUBNETS: std::ops::Range<u8> = 1..250;
/// The last byte of this process's address on the bridge.
const OUTSIDE: u8 = 254;
/// The hardware address of nobody.
const NOWHERE: &str = "02:68:78:00:ff:ff";

/// Where a server runs: a namespace and its address there.
#[derive(Clone, Debug)]
pub struct Place {
    namespace: String,
    /// Its address.
    pub ip: Ipv4Addr,
}

impl Place {
    /// A command that runs there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }
}

/// Namespaces on one bridge, removed when dropped.
#[derive(Debug)]
pub struct Network {
    subnet: u8,
    size: usize,
    /// Locked as long as the network is there.
    _lock: File,
}

impl Network {
    /// Makes a network of `size` namespaces, or tells why this machine does not allow it.
    pub fn new(size: usize) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        let dir = std::env::temp_dir().join("hexad-test-ports");
        fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let free = SUBNETS.into_iter().find_map(|subnet| {
            let lock = File::create(dir.join(format!("net{subnet}.lock"))).ok()?;
            lock.try_lock().ok()?;
            Some((subnet, lock))
        });
        let (subnet, lock) = free.ok_or("no network is free")?;
        let network = Self {
            subnet,
            size,
            _lock: lock,
        };
        // One that a killed test has left is of no use to anyone.
        network.remove();
        network.build()?;
        Ok(network)
    }

    /// Where node `index` is to run.
    #[must_use]
    pub fn place(&self, index: usize) -> Place {
        Place {
            namespace: self.namespace(index),
            ip: self.ip(index),
        }
    }

    /// From now on nothing that node `from` sends arrives at node `to`.
    ///
    /// # Panics
    /// If the neighbour table cannot be changed.
    pub fn cut(&self, from: usize, to: usize) {
        self.lead(from, to, NOWHERE);
    }

    /// What node `from` sends arrives at node `to` again.
    ///
    /// # Panics
    /// If the neighbour table cannot be changed.
    pub fn heal(&self, from: usize, to: usize) {
        self.lead(from, to, &self.hardware(to));
    }

    /// Heals every link.
    ///
    /// # Panics
    /// If a neighbour table cannot be changed.
    pub fn heal_all(&self) {
        for from in 0..self.size {
            for to in (0..self.size).filter(|&to| to != from) {
                self.heal(from, to);
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let (bridge, outside) = (self.bridge(), self.address(OUTSIDE));
        let mut lines = vec![
            format!("link add {bridge} type bridge"),
            format!("address add {outside}/24 dev {bridge}"),
            format!("link set {bridge} up"),
        ];
        for index in 0..self.size {
            let (namespace, port) = (self.namespace(index), self.port(index));
            let hardware = self.hardware(index);
            lines.push(format!("netns add {namespace}"));
            lines.push(format!(
                "link add {port} type veth peer name eth0 address {hardware} netns {namespace}"
            ));
            lines.push(format!("link set {port} master {bridge} up"));
        }
        ip(None, &lines)?;
        for index in 0..self.size {
            let mut lines = vec![
                format!("address add {}/24 dev eth0", self.ip(index)),
                "link set lo up".to_owned(),
                "link set eth0 up".to_owned(),
            ];
            let others = (0..self.size).filter(|&other| other != index);
            lines.extend(others.map(|other| self.neighbour(other, &self.hardware(other))));
            ip(Some(&self.namespace(index)), &lines)?;
        }
        Ok(())
    }

    fn remove(&self) {
        let bridge = self.bridge();
        // What is not there cannot be removed, which is all right.
        for index in 0..self.size {
            let _ = ip(None, &[format!("link del {}", self.port(index))]);
            let _ = ip(None, &[format!("netns del {}", self.namespace(index))]);
        }
        let _ = ip(None, &[format!("link del {bridge}")]);
    }

    fn lead(&self, from: usize, to: usize, hardware: &str) {
        let line = self.neighbour(to, hardware);
        if let Err(reason) = ip(Some(&self.namespace(from)), &[line]) {
            panic!("the link from node {from} to node {to} cannot be changed: {reason}");
        }
    }

    fn neighbour(&self, to: usize, hardware: &str) -> String {
        let ip = self.ip(to);
        format!("neigh replace {ip} lladdr {hardware} dev eth0 nud permanent")
    }

    fn bridge(&self) -> String {
        format!("hexad{}", self.subnet)
    }

    fn namespace(&self, index: usize) -> String {
        format!("hexad{}-{index}", self.subnet)
    }

    /// The bridge's end of a namespace's link.
    fn port(&self, index: usize) -> String {
        format!("hexad{}p{index}", self.subnet)
    }

    fn ip(&self, index: usize) -> Ipv4Addr {
        self.address(u8::try_from(index + 1).expect("a network is small"))
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 198, self.subnet, last)
    }

    fn hardware(&self, index: usize) -> String {
        format!("02:68:78:00:{:02x}:{index:02x}", self.subnet)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Runs lines of the `ip` command, in a namespace if one is named.
fn ip(namespace: Option<&str>, lines: &[String]) -> Result<(), String> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("ip: {error}"))?;
    let text = lines.join("\n") + "\n";
    let mut input = child.stdin.take().ok_or("no standard input")?;
    let written = input.write_all(text.as_bytes());
    drop(input);
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::run;

    /// Whether a datagram sent by one namespace arrives in the other, where nobody wants it.
    fn arrives(network: &Network, from: usize, to: usize) -> bool {
        let unwanted = || {
            let (_, text) = run(network.place(to).command("cat").arg("/proc/net/snmp"));
            let line = text.lines().filter(|line| line.starts_with("Udp: ")).nth(1);
            let words = line.and_then(|line| line.split(' ').nth(2));
            words
                .and_then(|word| word.parse::<u64>().ok())
                .expect("NoPorts")
        };
        let before = unwanted();
        let send = format!("echo >/dev/udp/{}/9", network.ip(to));
        let (sent, text) = run(network.place(from).command("bash").args(["-c", &send]));
        assert!(sent, "{text}");
        unwanted() > before
    }

    #[test]
    fn a_link_is_cut_in_one_direction() {
        let Ok(network) = Network::new(3) else {
            return;
        };
        assert!(arrives(&network, 0, 1) && arrives(&network, 1, 0));
        network.cut(0, 1);
        assert!(!arrives(&network, 0, 1) && arrives(&network, 1, 0));
        assert!(arrives(&network, 0, 2) && arrives(&network, 2, 1));
        network.heal_all();
        assert!(arrives(&network, 0, 1));
    }
}
