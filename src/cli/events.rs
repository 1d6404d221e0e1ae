//! `events`: what happened, in order; what a subscriber missed, and what happens now.

use std::path::Path;

use producer::Problem;
use protocol::event::per_item;
use queue::Event;
use serde_json::{Value, json};

use super::Output;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Events {
    /// Only what came after this event (its "seq")
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    since: u64,
    /// Go on printing events as they happen
    #[arg(long)]
    follow: bool,
    /// Expand events about several items into one line each
    #[arg(long)]
    items: bool,
}

impl Events {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let replay = session.queue.events_since(self.since).await?;
        if replay.trimmed && self.since > 0 {
            output.say(&format!(
                "some events after {} are gone: the log keeps about {}, or Redis lost its data",
                self.since,
                session.queue.settings().event_log
            ));
        }
        let mut last = self.since;
        for event in &replay.events {
            last = event.seq;
            self.show(event, output)?;
        }
        if self.follow {
            let mut events = session.queue.subscribe(last);
            let stop = super::asked_to_stop();
            tokio::pin!(stop);
            loop {
                tokio::select! {
                    event = events.next() => match event {
                        Some(event) => self.show(&event, output)?,
                        None => break,
                    },
                    () = &mut stop => break,
                }
            }
        }
        session.close().await?;
        Ok(0)
    }

    fn show(&self, event: &Event, output: &Output) -> Result<(), Problem> {
        let events = if self.items { per_item(&event.body) } else { vec![event.body.clone()] };
        events.into_iter().try_for_each(|body| line(event, &Value::Object(body), output))
    }
}

fn line(event: &Event, body: &Value, output: &Output) -> Result<(), Problem> {
    output.print(body, || {
        let name_of = |end: &str| body.pointer(&format!("/{end}/name")).and_then(Value::as_str).unwrap_or("?");
        let about = match (body.get("model"), body.get("item"), body.get("items")) {
            (Some(model), Some(item), _) => json!([model, item]).to_string(),
            (Some(model), None, Some(Value::Array(items))) => format!("{model}, {} items", items.len()),
            _ => body.get("state").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        format!("{:>6} {:<20} {} -> {}  {about}", event.seq, event.name, name_of("source"), name_of("target"))
    })
}
