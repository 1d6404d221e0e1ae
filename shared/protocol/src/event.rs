//! Names of events, as in the documentation of Cockpit's Sync add-on, and what to do with events about many items.

use serde_json::{Map, Value};

use crate::shaping::matches;

pub const PUSH_FINISHED: &str = "sync.push.finished";
pub const PULL_FINISHED: &str = "sync.pull.finished";
pub const UNDO_FINISHED: &str = "sync.undo.finished";
/// Published per batch with the ids; subscribers expand it per item.
pub const ITEM_PUSHED: &str = "sync.item.pushed";
pub const ITEM_PULLED: &str = "sync.item.pulled";
/// A mirror deleted these on the target.
pub const ITEM_DELETED: &str = "sync.item.deleted";
pub const RUN_STARTED: &str = "sync.run.started";
pub const RUN_FAILED: &str = "sync.run.failed";
pub const RUN_CANCELLED: &str = "sync.run.cancelled";
/// Somebody put dead jobs back to work, or dropped them for good; with their ids.
pub const JOB_RETRIED: &str = "sync.job.retried";
pub const JOB_DROPPED: &str = "sync.job.dropped";
/// Ticks of a schedule that nobody fired; one that was left out because the run before is not over.
pub const SCHEDULE_MISSED: &str = "sync.schedule.missed";
pub const SCHEDULE_SKIPPED: &str = "sync.schedule.skipped";
/// Actions of the target's own agent, after a run that wrote to it: all went well, or one of them did not.
pub const ACTIONS_DONE: &str = "sync.actions.done";
pub const ACTIONS_FAILED: &str = "sync.actions.failed";
/// Somebody compared, and found that both sides differ.
pub const DRIFT_FOUND: &str = "sync.drift.found";

/// What a hook was to push was not pushed, and is not tried again.
pub const HOOK_FAILED: &str = "sync.hook.failed";

/// What can be published.
pub const ALL: [&str; 20] = [
    RUN_STARTED,
    PUSH_FINISHED,
    PULL_FINISHED,
    UNDO_FINISHED,
    RUN_FAILED,
    RUN_CANCELLED,
    ITEM_PUSHED,
    ITEM_PULLED,
    ITEM_DELETED,
    JOB_RETRIED,
    JOB_DROPPED,
    ACTIONS_DONE,
    ACTIONS_FAILED,
    DRIFT_FOUND,
    SCHEDULE_MISSED,
    SCHEDULE_SKIPPED,
    HOOK_FAILED,
    ACCESS_LOGIN,
    ACCESS_LOGIN_FAILED,
    ACCESS_DENIED,
];

/// What only an agent tells, and only its own actions: a run that wrote here is over, and nothing more of it lands.
pub const RUN_CLOSED: &str = "sync.run.closed";

/// Those of the events that a pattern with `*` means. Events about items come for each batch: they are meant only by a
/// pattern that says so.
pub fn matching(pattern: &str, known: &[&'static str]) -> Vec<&'static str> {
    let means =
        |name: &&&str| matches(pattern, name) && (!name.starts_with("sync.item.") || pattern.starts_with("sync.item."));
    known.iter().filter(means).copied().collect()
}

/// Somebody came in to `serve`, could not, or was told that it is not for them.
pub const ACCESS_LOGIN: &str = "sync.access.login";
pub const ACCESS_LOGIN_FAILED: &str = "sync.access.login_failed";
pub const ACCESS_DENIED: &str = "sync.access.denied";

/// An event about several items (`items`) as one event per item (`item`); any other event as it is.
pub fn per_item(event: &Map<String, Value>) -> Vec<Map<String, Value>> {
    let Some(items) = event.get("items").and_then(Value::as_array) else { return vec![event.clone()] };
    let one = |item: &Value| {
        let mut one = event.clone();
        one.remove("items");
        one.insert("item".into(), item.clone());
        one
    };
    items.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_about_a_batch_becomes_one_event_per_item() {
        let Value::Object(event) = serde_json::json!({"event": ITEM_PUSHED, "seq": 7, "items": ["a", "b"]}) else {
            panic!("an object is an object")
        };
        let items: Vec<Value> = per_item(&event).into_iter().map(Value::Object).collect();
        let expected = ["a", "b"].map(|id| serde_json::json!({"event": ITEM_PUSHED, "seq": 7, "item": id}));
        assert_eq!(items, expected);
        let Value::Object(other) = serde_json::json!({"event": RUN_STARTED}) else { panic!("an object is an object") };
        assert_eq!(per_item(&other), [other]);
    }

    #[test]
    fn items_are_meant_only_by_patterns_that_say_so() {
        assert_eq!(matching("sync.*.finished", &ALL), [PUSH_FINISHED, PULL_FINISHED, UNDO_FINISHED]);
        assert_eq!(matching("sync.item.*", &ALL), [ITEM_PUSHED, ITEM_PULLED, ITEM_DELETED]);
        assert!(!matching("*", &ALL).contains(&ITEM_PUSHED));
        assert_eq!(matching("sync.pushed", &ALL), Vec::<&str>::new());
    }

    #[test]
    fn the_document_names_every_event_that_can_be_published() {
        let text = include_str!("../../../docs/events.md");
        let missing: Vec<_> = ALL
            .iter()
            .filter(|name| !text.contains(&format!("| `{name}`")) && !text.contains(&format!(", `{name}`")))
            .collect();
        assert!(missing.is_empty(), "docs/events.md lacks {missing:?}");
    }
}
