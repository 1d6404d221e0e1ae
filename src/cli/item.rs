//! `item push` and `item pull`: single items, with what they refer to.

use std::path::Path;

use producer::{Items, Problem, SyncRequest};
use protocol::run::Direction;

use super::Output;
use super::transfer::{Rules, RunOptions};
use crate::session::{Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Item {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Bring items of the local instance to another one, before other syncs to it
    Push(Transfer),
    /// Bring items of another instance to the local one, before other syncs to it
    Pull(Transfer),
}

#[derive(Debug, clap::Args)]
struct Transfer {
    /// The instance to push to, or to pull from
    instance: String,
    model: String,
    /// The items' ids; none for a singleton
    id: Vec<String>,
    /// Also the assets they embed, with files and folders
    #[arg(long)]
    with_assets: bool,
    /// Also the items they link to, those that these link to, and so on, so many times
    #[arg(long, value_name = "DEPTH", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    with_links: u8,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    run: RunOptions,
}

impl Item {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let (direction, transfer) = match self.action {
            Action::Push(transfer) => (Direction::Push, transfer),
            Action::Pull(transfer) => (Direction::Pull, transfer),
        };
        let items = Items {
            model: transfer.model,
            ids: transfer.id,
            with_assets: transfer.with_assets,
            with_links: transfer.with_links,
        };
        let request = transfer.rules.apply_to(SyncRequest {
            if_busy: transfer.run.if_busy.into(),
            ..SyncRequest::of_items(direction, transfer.instance, items, super::person())
        });
        let submit = async |session: &Session| {
            producer::submit(&request, &session.config, &session.directory, &session.queue).await
        };
        transfer.run.follow.submit_and_follow(load_config(config)?, output, submit).await
    }
}
