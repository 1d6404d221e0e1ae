//! What happens in a night, and what fails in it. Afterwards the clocks of all processes go on by some days, so that what
//! is kept for a week, or for months, is let go of within the soak.

use std::path::{Path, PathBuf};

use instances::{delete_item, edit_item, ids};
use rusqlite::Connection;
use serde_json::json;

use crate::serve::Served;
use crate::support::{Rig, add_document, small, wait_until};

/// So many go by from one night to the next.
pub const DAYS: usize = 10;
pub const INSTANCES: [&str; 3] = ["source", "target", "other"];
const POSTS: &str = "content/collections/posts";
/// Of the posts, each night.
const CHANGED: usize = 12;
/// The worker that is never killed; nor are `serve` and the agents of `source` and `target`.
const STEADY: usize = 0;

/// So many that ended an agent remembers at most: more than there are in a soak, so that many ended before.
const GRANTS_REMEMBERED: u32 = 10_000;
/// What waits in a -wal for the next time that the agent looks for what is too old.
const WAITING_BYTES: u64 = 256 * 1024;

/// The code of a command that did not get as far as making its runs.
const NOBODY_ANSWERED: i32 = 5;

/// Fields are dropped in this order: those that use something before what they use.
pub struct Nights {
    served: Served,
    pub rig: Rig,
    /// The worker that is killed now and then, as is the agent of `other`.
    mortal: usize,
    /// So many seconds the clocks are ahead.
    ahead: i64,
}

impl Nights {
    /// None where clocks cannot be set.
    pub fn new() -> Option<Self> {
        let mut rig = Rig::with_clocks(&small());
        rig.clocks.as_ref()?;
        // With an arena for each thread, memory rises until each of them has served the largest request: for hundreds of
        // nights. That has a bound (threads, 16 arenas), and would hide what has none.
        rig.environment.push(("MALLOC_ARENA_MAX", "1".into()));
        rig.start_agent("source");
        rig.start_agent("target");
        rig.add_empty("other");
        rig.more_config =
            "[[schedule]]\nname = \"nightly\"\ncron = \"0 3 * * *\"\npush = \"other\"\ncatch_up = \"once\"\n".into();
        assert_eq!(rig.start_worker(), STEADY);
        let mortal = rig.start_worker();
        INSTANCES.iter().for_each(|name| have_ended(&state_of(&rig, name), GRANTS_REMEMBERED));
        let served = Served::start(&mut rig);
        Some(Self { served, rig, mortal, ahead: 0 })
    }

    /// Those that live through all nights.
    pub fn lasting(&mut self) -> Vec<(&'static str, u32)> {
        let served = self.served.process.pid();
        let worker = self.rig.worker(STEADY).pid();
        let (source, target) = (self.rig.agent("source").pid(), self.rig.agent("target").pid());
        vec![("serve", served), ("worker", worker), ("agent of source", source), ("agent of target", target)]
    }

    pub fn pass(&mut self, night: usize) {
        let posts = ids(&self.rig.source(), POSTS).unwrap();
        for number in 0..CHANGED {
            let text = format!("{night:08} {number:08}");
            let id = &posts[(night * 7 + number * 31) % posts.len()];
            edit_item(&self.rig.source(), "posts", id, |post| post["title"] = json!(text)).unwrap();
        }
        // As many as before.
        add_document(&self.rig.source(), POSTS, night);
        delete_item(&self.rig.source(), "posts", posts.last().unwrap()).unwrap();

        let mut push = self.rig.spawn(&["push", "target,other", "--batch-size", "20"]);
        // Perhaps one of them is the schedule's.
        wait_until("runs are made", || self.rig.redis.live_runs().len() >= 2 || push.ended().is_some());
        self.fail(night);
        let pushed = push.wait();
        if pushed.code == NOBODY_ANSWERED {
            self.rig.run(&["push", "target,other"]).expect_code(0);
        } else {
            pushed.expect_code(0);
        }
        let again = &posts[night % (posts.len() - 1)];
        edit_item(&self.rig.source(), "posts", again, |post| post["title"] = json!("for an hour")).unwrap();
        let item = self.rig.run(&["item", "push", "target", "posts", again]).expect_code(0).json();
        self.rig.run(&["undo", item["run"].as_str().unwrap()]).expect_code(0);
        self.rig.run(&["push", "target,other", "--mirror"]).expect_code(0);
        self.rig.run(&["verify", "target"]).expect_code(0);
        self.served.get("/api/runs").expect(200);
        wait_until("all runs are over", || self.rig.redis.live_runs().is_empty());
        self.rig.assert_equal();
        self.go_on();
    }

    /// In most nights something, while a push is under way.
    fn fail(&mut self, night: usize) {
        match night % 5 {
            1 => {
                self.rig.worker(self.mortal).kill();
                self.mortal = self.rig.start_worker();
            }
            2 => {
                self.rig.redis.stop();
                self.rig.redis.restart();
            }
            3 => {
                self.rig.agent("other").kill();
                self.rig.start_agent("other");
            }
            _ => {}
        }
    }

    fn go_on(&mut self) {
        let clocks = self.rig.clocks.as_ref().expect("there are clocks");
        self.ahead += (DAYS * 24 * 3600) as i64;
        for process in ["redis", "agent-source", "agent-target", "agent-other", "worker", "command"] {
            clocks.shift(process, self.ahead);
        }
        for name in INSTANCES {
            let state = state_of(&self.rig, name);
            wait_until("agents let go of what is too old", || has_let_go(&state));
        }
    }
}

/// The agent's own directory.
pub fn state_of(rig: &Rig, name: &str) -> PathBuf {
    rig.root(name).join("storage/cockpit-sync")
}

fn have_ended(state: &Path, grants: u32) {
    let sql = "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?1)
               INSERT INTO superseded_grant (grant_id) SELECT hex(randomblob(18)) FROM numbers";
    Connection::open(state.join("state.db")).unwrap().execute(sql, [grants]).unwrap();
}

fn has_let_go(state: &Path) -> bool {
    let images = std::fs::read_dir(state.join("undo")).map_or(0, Iterator::count);
    let waits = |file: &str| state.join(format!("{file}.db-wal")).metadata().map_or(0, |file| file.len());
    images == 0 && ["state", "index", "agreed"].iter().all(|file| waits(file) < WAITING_BYTES)
}
