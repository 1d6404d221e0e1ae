//! `watch`: follows a run to its end.

use std::path::Path;

use producer::{Problem, find_run, follow};

use super::Output;
use super::transfer::{Display, print_end};
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Watch {
    /// Id (or a part of it), a target's name, or "last"
    #[arg(default_value = "last")]
    run: String,
}

impl Watch {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let run = find_run(&session.queue, &self.run).await?.id;
        let mut display = Display::new(output);
        let followed = tokio::select! {
            followed = follow(&session.queue, &run, None, |news| display.show(news)) => Some(followed),
            () = super::asked_to_stop() => None,
        };
        display.clear();
        let code = match followed {
            Some(view) => print_end(&view?, output)?,
            // Looking away is no failure.
            None => 0,
        };
        session.close().await?;
        Ok(code)
    }
}
