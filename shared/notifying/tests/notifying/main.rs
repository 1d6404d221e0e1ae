//! Each action, with a real mail server, a real receiver of webhooks, real programs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod exec;
mod mail;
mod webhook;

use notifying::{Entry, Failure, Notice};
use protocol::event;
use serde_json::{Value, json};

fn entry(text: &str) -> Entry {
    let table: toml::Table = text.parse().unwrap();
    Entry::read_all(&[table], &event::ALL, &std::env::temp_dir()).unwrap().remove(0)
}

fn finished() -> Value {
    json!({
        "event": "sync.push.finished", "seq": 17, "run": "0199", "direction": "push",
        "source": {"name": "staging", "uri": "http://a"}, "target": {"name": "production", "uri": "http://b"},
        "started_by": "anna on <web1>", "state": "finished_held", "counts": {"held": 3, "content/posts/created": 20},
        "time": "2026-11-22T13:20:23.123Z", "closed": true
    })
}

async fn bring(entry: &Entry, event: &Value) -> Result<Notice, Failure> {
    let notice = Notice::new(entry.name(), event.to_string()).unwrap();
    entry.carry_out(&notice).await.map(|()| notice)
}
