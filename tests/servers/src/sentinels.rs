//! A master, its replica, and three sentinels that watch them.

use std::collections::HashMap;

use crate::{Program, Server, wait_until};

pub struct Sentinels {
    pub master: Server,
    pub replica: Server,
    pub sentinels: Vec<Server>,
}

impl Sentinels {
    /// The name under which the master is watched.
    pub const MASTER: &str = "the-master";

    pub fn start(program: &Program) -> Self {
        let master = Server::start(program, &[]);
        let replica = Server::start(program, &["--replicaof", &format!("127.0.0.1 {}", master.port())]);
        wait_until("the replica has its master's data", || replica.info("master_link_status") == "up");
        let (name, port) = (Self::MASTER, master.port());
        let config = format!(
            "sentinel monitor {name} 127.0.0.1 {port} 2\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 2000\n"
        );
        let sentinels: Vec<Server> = (0..3).map(|_| Server::start_sentinel(program, &config)).collect();
        for sentinel in &sentinels {
            wait_until("the sentinels know each other and the replica", || {
                let known: HashMap<String, String> = sentinel.ask(&format!("SENTINEL MASTER {name}"));
                known["num-other-sentinels"] == "2" && known["num-slaves"] == "1"
            });
        }
        Self { master, replica, sentinels }
    }

    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    pub fn wait_for_promotion(&self) {
        wait_until("the replica is promoted", || self.replica.info("role") == "master");
    }
}
