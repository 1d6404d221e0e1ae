//! `cockpit-instances`: makes, changes and compares instances by hand and in scripts.

use anyhow::Result;
use clap::{Parser, Subcommand};
use instances::{Batch, Rules, Shape};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Makes, changes and compares Cockpit instances in Cockpit's own storage format")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an instance with content
    Make {
        root: PathBuf,
        #[arg(long, default_value_t = Shape::default().posts)]
        posts: usize,
        #[arg(long, default_value_t = Shape::default().body_bytes)]
        body_bytes: usize,
        #[arg(long, default_value_t = Shape::default().authors)]
        authors: usize,
        #[arg(long, default_value_t = Shape::default().assets)]
        assets: usize,
        #[arg(long, default_value_t = Shape::default().tree_nodes)]
        tree_nodes: usize,
        #[arg(long, default_value_t = Shape::default().seed)]
        seed: u64,
        /// Write config/config.php with this sync key
        #[arg(long)]
        sync_key: Option<String>,
    },
    /// Make an instance as the installer leaves it
    Empty {
        root: PathBuf,
        #[arg(long)]
        sync_key: Option<String>,
    },
    /// Edit a share of the posts and print their ids
    Change {
        root: PathBuf,
        #[arg(long, default_value_t = 1.0)]
        percent: f64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Compare two instances; exit code 1 when they differ
    Compare {
        a: PathBuf,
        b: PathBuf,
        /// Leave out who and when, and take copies of assets as refreshed
        #[arg(long)]
        content: bool,
    },
    /// Copy the posts from file to file: the physical limit
    CopyLimit {
        from: PathBuf,
        to: PathBuf,
        #[arg(long, default_value_t = 500)]
        rows: usize,
        #[arg(long, default_value_t = 900 * 1024)]
        bytes: usize,
        #[arg(long, default_value = "FULL")]
        synchronous: String,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Make { root, posts, body_bytes, authors, assets, tree_nodes, seed, sync_key } => {
            let shape = Shape { posts, body_bytes, authors, assets, tree_nodes, seed, ..Shape::default() };
            let made = instances::make(&root, &shape)?;
            write_key(&root, sync_key)?;
            println!("{} posts, {} authors, {} assets", made.posts.len(), made.authors.len(), made.assets.len());
        }
        Command::Empty { root, sync_key } => {
            instances::make_empty(&root)?;
            write_key(&root, sync_key)?;
        }
        Command::Change { root, percent, seed } => {
            for id in instances::change(&root, percent, seed)? {
                println!("{id}");
            }
        }
        Command::Compare { a, b, content } => {
            let rules = if content { Rules::content() } else { Rules::default() };
            let comparison = instances::compare_by(&a, &b, &rules)?;
            println!("{comparison}");
            return Ok(if comparison.is_equal() { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        Command::CopyLimit { from, to, rows, bytes, synchronous } => {
            let copied = instances::copy_limit(&from, &to, Batch { rows, bytes }, &synchronous)?;
            let seconds = copied.took.as_secs_f64();
            println!(
                "{} rows, {} bytes, {} transactions, {seconds:.3} s",
                copied.rows, copied.bytes, copied.transactions
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_key(root: &std::path::Path, sync_key: Option<String>) -> Result<()> {
    match sync_key {
        Some(key) => instances::with_sync_key(root, &key),
        None => Ok(()),
    }
}
