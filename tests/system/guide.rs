//! The commands of docs/guide.md and of the README do what is written there: each block is run, as it stands, in a folder with
//! the config that stands above it. Only addresses, paths and ids are those of the test.

use std::path::Path;
use std::process::Command;

use instances::{edit_item, ids, insert_document, make, make_empty, read_item};
use serde_json::json;

use crate::support::{KEY, Output, Process, Rig, documents_in, let_the_second_pass, small};

const GUIDE: &str = include_str!("../../docs/guide.md");
const README: &str = include_str!("../../README.md");
const CONFIG: &str = "cockpit-sync.toml";
/// Of a post, in the guide.
const POST: &str = "6b02ce5c686c82d24f3c2927";

/// What stands between two fences.
struct Block<'a> {
    heading: &'a str,
    language: &'a str,
    text: String,
    /// Why nobody can run it here.
    not_run: Option<&'a str>,
}

fn blocks(page: &'static str) -> Vec<Block<'static>> {
    let (mut blocks, mut heading, mut not_run): (Vec<Block<'_>>, &str, Option<&str>) = (Vec::new(), "", None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        } else if let Some(reason) = line.strip_prefix("<!-- not run: ") {
            not_run = Some(reason.trim_end_matches("-->").trim());
        } else if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { heading, language, text: text.join("\n"), not_run: not_run.take() });
        }
    }
    blocks
}

/// A folder in which somebody types.
struct Desk<'a> {
    rig: &'a mut Rig,
    /// What stands on the page, and what it is here.
    here: Vec<(&'static str, String)>,
    worker: bool,
    run: usize,
}

impl Desk<'_> {
    fn replaced(&self, text: &str) -> String {
        self.here.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    fn config(&self) -> std::path::PathBuf {
        self.rig.folder.path().join(CONFIG)
    }

    /// A config, or more of the one before; the first that names a Redis is the workers', too.
    fn write(&mut self, block: &Block<'_>) {
        let text = self.replaced(&block.text);
        let (first, first_config) =
            (text.lines().next().unwrap_or_default(), self.rig.folder.path().join("first.toml"));
        match first {
            "# cockpit-sync.toml again" => drop(std::fs::copy(&first_config, self.config()).unwrap()),
            "# cockpit-sync.toml, more of it" => {
                let before = std::fs::read_to_string(self.config()).unwrap();
                std::fs::write(self.config(), before + "\n" + &text).unwrap();
            }
            _ if first.starts_with("# cockpit-sync.toml") => std::fs::write(self.config(), &text).unwrap(),
            _ => return,
        }
        if text.contains("redis = ") && !std::mem::replace(&mut self.worker, true) {
            std::fs::write(&first_config, &text).unwrap();
            self.rig.start_worker_with(&first_config, &[]);
        }
    }

    fn type_in(&mut self, block: &Block<'_>) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_cockpit-sync")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &self.replaced(&block.text)]).current_dir(self.rig.folder.path());
        command.env("PATH", path).env("NO_PROXY", "*").env_remove("COCKPIT_SYNC_CONFIG");
        command.envs(self.rig.environment.iter().map(|(name, value)| (name, value)));
        self.run += 1;
        Process::start(&mut command, self.rig.folder.path(), &format!("typed-{}", self.run)).wait()
    }

    /// Runs a page from top to bottom; `before` and `after` are told of each block that is run.
    fn run(&mut self, page: &'static str, before: impl Fn(&Rig, &Block<'_>), after: impl Fn(&Rig, &Block<'_>)) {
        for block in &blocks(page) {
            match (block.language, block.not_run) {
                ("toml", _) => self.write(block),
                ("sh", Some(reason)) => println!("not run, because {reason}:\n{}", block.text),
                ("sh", None) => {
                    before(self.rig, block);
                    let done = self.type_in(block);
                    assert_eq!(done.code, 0, "{}\n{}\n{done:#?}", block.heading, block.text);
                    after(self.rig, block);
                }
                ("", _) => {
                    let is_command = block.text.lines().any(|line| line.starts_with("cockpit-sync "));
                    assert!(!is_command, "is this to be run? Then it is a block of sh:\n{}", block.text);
                }
                _ => {}
            }
        }
    }
}

/// The instances that the pages name, and how they are reached here.
fn desk(rig: &mut Rig) -> Desk<'_> {
    make(&rig.root("staging"), &small()).unwrap();
    rig.start_agent("staging");
    for name in ["production", "standby-eu", "standby-us"] {
        rig.add_empty(name);
    }
    make_empty(&rig.root("laptop")).unwrap();
    make(&rig.root("www-staging"), &small()).unwrap();
    make_empty(&rig.root("www-production")).unwrap();
    let keys = ["STAGING_SYNC_KEY", "PRODUCTION_SYNC_KEY", "STANDBY_SYNC_KEY"];
    rig.environment = keys.map(|name| (name, KEY.to_owned())).to_vec();
    let at = |name: &str| format!("http://{}", rig.address(name));
    let folder = |name: &str| rig.root(name).display().to_string();
    let post = ids(&rig.root("staging"), "content/collections/posts").unwrap()[5].clone();
    let here = vec![
        ("redis://10.0.0.5:6379", rig.redis.url()),
        ("https://staging.example.com", at("staging")),
        ("https://cms.example.com", at("production")),
        ("https://eu.example.com", at("standby-eu")),
        ("https://us.example.com", at("standby-us")),
        ("/home/anna/cockpit", folder("laptop")),
        ("/var/www/staging", folder("www-staging")),
        ("/var/www/production", folder("www-production")),
        (POST, post),
    ];
    Desk { rig, here, worker: false, run: 0 }
}

#[track_caller]
fn assert_equal(rig: &Rig, one: &str, other: &str) {
    let comparison = instances::compare(&rig.root(one), &rig.root(other)).unwrap();
    assert!(comparison.is_equal(), "{one}, {other}: {comparison}");
    assert!(comparison.compared > 0);
}

#[test]
fn every_recipe_of_the_guide_does_what_it_says() {
    let mut rig = Rig::without_instances();
    let mut desk = desk(&mut rig);
    let post = desk.replaced(POST);
    let title = |rig: &Rig, of: &str| read_item(&rig.root(of), "posts", &post).unwrap().unwrap()["title"].clone();
    let staging = desk.rig.root("staging");
    let project = json!({"name": "web", "keys": {"hello": {"en": "Hello"}}, "_modified": 5, "_id": "a".repeat(24)});
    insert_document(&staging, "lokalize/projects", &project).unwrap();
    let press = json!({"name": "Press", "_p": "", "icon": "", "_id": "b".repeat(24)});
    insert_document(&staging, "assets/folders", &press).unwrap();

    let before = |rig: &Rig, block: &Block<'_>| {
        if block.text.starts_with("cockpit-sync item push") {
            let_the_second_pass();
            edit_item(&staging, "posts", &post, |post| post["title"] = json!("News")).unwrap();
        }
        if block.text.starts_with("cockpit-sync pull standby-eu") {
            // The agent stays where it is: its storage is another one now.
            for id in ids(&staging, "content/collections/posts").unwrap() {
                instances::delete_item(&staging, "posts", &id).unwrap();
            }
        }
        let _unused = rig;
    };
    let after = |rig: &Rig, block: &Block<'_>| match block.text.lines().last().unwrap_or_default() {
        "cockpit-sync verify production" => assert_equal(rig, "staging", "production"),
        item if item.starts_with("cockpit-sync item push") => assert_eq!(title(rig, "production"), "News"),
        undo if undo.starts_with("cockpit-sync undo") => assert_ne!(title(rig, "production"), "News"),
        "cockpit-sync drift standby-us" => {
            assert_equal(rig, "staging", "standby-eu");
            assert_equal(rig, "staging", "standby-us");
        }
        "cockpit-sync verify standby-eu" => assert_equal(rig, "staging", "standby-eu"),
        pull if pull.starts_with("cockpit-sync pull production") => {
            let authors = ids(&rig.root("laptop"), "content/collections/authors").unwrap();
            assert!(!authors.is_empty());
            for id in authors {
                let [there, here] =
                    ["production", "laptop"].map(|name| read_item(&rig.root(name), "authors", &id).unwrap().unwrap());
                assert!(here["email"] != there["email"] && here["name"] != there["name"], "{here:#}");
                assert!(here["bio"].is_null() && !there["bio"].is_null(), "{here:#}");
            }
        }
        _ => {}
    };
    desk.run(GUIDE, before, after);
    assert_equal(&rig, "staging", "standby-us");
}

#[test]
fn the_commands_of_the_readme_can_be_typed() {
    let mut rig = Rig::without_instances();
    let mut desk = desk(&mut rig);
    desk.run(README, |_, _| {}, |_, _| {});
    assert_equal(&rig, "www-staging", "www-production");
    assert_equal(&rig, "staging", "production");
    assert!(documents_in(&rig.root("production")) > 0);
}
