//! Other queues: each a program in `benches/peers/`, installed from its registry into `target/peers`. One that cannot be
//! installed is skipped by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::PAYLOAD;

/// How a peer comes here, and how its program is started.
struct Recipe {
    name: &'static str,
    /// Run in the folder of the program, one after the other; `{}` stands for the peer's folder in `target/peers`.
    install: &'static [&'static [&'static str]],
    start: &'static [&'static str],
    /// How many jobs take some seconds.
    jobs: usize,
}

static RECIPES: [Recipe; 4] = [
    Recipe {
        name: "apalis-redis",
        install: &[&["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", "{}"]],
        start: &["{}/release/apalis"],
        // Its worker fails when more than 8,000 wait (`too many results to unpack`).
        jobs: 7_000,
    },
    Recipe {
        name: "bullmq",
        install: &[
            &["cp", "package.json", "main.mjs", "{}"],
            &["npm", "install", "--prefix", "{}", "--no-audit", "--no-fund", "--silent"],
        ],
        start: &["node", "{}/main.mjs"],
        jobs: 20_000,
    },
    Recipe {
        name: "streaq",
        install: &[
            &["python3", "-m", "venv", "{}"],
            &["{}/bin/pip", "install", "--quiet", "--requirement", "requirements.txt"],
        ],
        start: &["{}/bin/python", "main.py"],
        jobs: 5_000,
    },
    Recipe {
        name: "sidekiq",
        // Of the distribution (Debian: ruby-sidekiq); it is not installed from here.
        install: &[&["ruby", "-e", "require 'sidekiq'"]],
        start: &["ruby", "main.rb"],
        jobs: 20_000,
    },
];

/// A peer that is there.
pub struct Peer {
    pub name: &'static str,
    recipe: &'static Recipe,
}

/// Jobs a second, as a peer's program prints them.
#[derive(Deserialize)]
pub struct Rates {
    pub version: String,
    pub one_by_one: f64,
    pub bulk: f64,
    pub drain: f64,
}

/// Those that are there or could be installed.
pub fn install() -> Vec<Peer> {
    let installed = |recipe: &'static Recipe| {
        println!("installing {} ...", recipe.name);
        match recipe.install() {
            Ok(()) => Some(Peer { name: recipe.name, recipe }),
            Err(error) => {
                println!("SKIPPED {}: {error:#}", recipe.name);
                None
            }
        }
    };
    RECIPES.iter().filter_map(installed).collect()
}

impl Recipe {
    fn home(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers").join(self.name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers").join(self.name);
        let home = self.home().display().to_string();
        let mut words = words.iter().map(|word| word.replace("{}", &home));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(here).stdin(Stdio::null());
        command
    }

    fn install(&self) -> Result<()> {
        fs::create_dir_all(self.home())?;
        for step in self.install {
            let output = self.command(step).output().with_context(|| format!("{} is not there", step[0]))?;
            ensure!(output.status.success(), "{} failed: {}", step.join(" "), last_line(&output.stderr));
        }
        Ok(())
    }
}

impl Peer {
    /// Enqueues and drains on an empty Redis.
    pub fn measure(&self, url: &str) -> Option<Rates> {
        let run = || -> Result<Rates> {
            let mut command = self.recipe.command(self.recipe.start);
            command.args([url, &self.recipe.jobs.to_string(), &PAYLOAD.len().to_string()]);
            let output = command.output()?;
            ensure!(output.status.success(), "{}", last_line(&output.stderr));
            let said = last_line(&output.stdout);
            serde_json::from_str(&said).with_context(|| format!("it printed {said:?}"))
        };
        run().inspect_err(|error| println!("SKIPPED {}: {error:#}", self.name)).ok()
    }
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("without words").to_string()
}
