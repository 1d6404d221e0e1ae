//! A cluster of three masters with a replica each.

use redis::Value;

use crate::server::free_port;
use crate::{Program, Server, wait_until};

pub struct Cluster {
    /// The first three begin as masters; each one's replica is three further.
    pub nodes: Vec<Server>,
}

/// A failover begins after so long.
const NODE_TIMEOUT_MS: &str = "1000";

impl Cluster {
    pub fn start(program: &Program) -> Self {
        let buses: [String; 6] = std::array::from_fn(|_| free_port().to_string());
        let start = |bus: &String| {
            let cluster = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", bus];
            let failover = ["--cluster-node-timeout", NODE_TIMEOUT_MS, "--cluster-replica-validity-factor", "0"];
            // A replica that has not heard anything yet is not shown.
            let replication = ["--repl-ping-replica-period", "1"];
            Server::start(program, &[cluster.as_slice(), failover.as_slice(), replication.as_slice()].concat())
        };
        let nodes: Vec<Server> = buses.iter().map(start).collect();
        for (number, node) in nodes.iter().enumerate() {
            node.ask::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            if let Some((first, last)) = [(0, 5460), (5461, 10922), (10923, 16383)].get(number) {
                node.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
            }
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            nodes[0].ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port()));
        }
        let cluster = Self { nodes };
        cluster.wait_until_all("know each other", |node| cluster.known(node, "cluster_known_nodes") == "6");
        for number in 3..6 {
            let master: String = cluster.nodes[number - 3].ask("CLUSTER MYID");
            cluster.nodes[number].ask::<()>(&format!("CLUSTER REPLICATE {master}"));
        }
        cluster.wait_until_all("serve", |node| {
            let ranges: Vec<Vec<Value>> = node.ask("CLUSTER SLOTS");
            cluster.known(node, "cluster_state") == "ok"
                && ranges.len() == 3
                && ranges.iter().all(|range| range.len() == 4)
                && node.info("master_link_status") != "down"
        });
        cluster
    }

    fn wait_until_all(&self, what: &str, is_so: impl Fn(&Server) -> bool) {
        wait_until(&format!("all nodes {what}"), || self.nodes.iter().all(&is_so));
    }

    fn known(&self, node: &Server, name: &str) -> String {
        node.ask::<redis::InfoDict>("CLUSTER INFO").get(name).unwrap_or_default()
    }

    /// The number of the node that is the master of a key at the beginning.
    pub fn first_master_of(&self, key: &str) -> usize {
        let slot: u16 = self.nodes[0].ask(&format!("CLUSTER KEYSLOT {key}"));
        usize::from(slot > 5460) + usize::from(slot > 10922)
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }
}
