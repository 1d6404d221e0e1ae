//! Requests to agents and their answers, as they were recorded.

use std::collections::BTreeSet;

use cockpit_sync_protocol::api::*;
use serde_json::{Value, json};

use crate::recorded::{Sample, are_read_as_recorded};

const HASH: &str = "000102030405060708090a0b0c0d0e0f";
const WHOLE: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Words are taken from what is recorded at other places: each is said once.
fn causes() -> Vec<Value> {
    let words = "malformed duplicate too_large missing_asset missing_parent missing_model missing_file forbidden conflict \
                 contended locked changed_since transform in_use unproven";
    let held = |cause| json!({ "identity": "a1", "cause": cause, "message": "why, in words" });
    words.split(' ').map(held).collect()
}

fn errors() -> Vec<Value> {
    let words = "bad_request unauthorized clock_skew replayed wrong_instance forbidden read_only grant_held grant_lost \
                 grant_superseded sync_lock too_large busy disk_full unsupported_storage database_replaced storage internal";
    words.split(' ').map(Value::from).collect()
}

/// A request and an answer to it.
fn call<C: Call>(asked: Value, answered: Value) -> (&'static str, [Sample; 2]) {
    let name = |part| format!("{}:{part}", C::PATH);
    (C::PATH, [Sample::packed::<C>(&name("asked"), asked), Sample::packed::<C::Answer>(&name("answered"), answered)])
}

fn calls() -> Vec<(&'static str, [Sample; 2])> {
    let posts = "content/collections/posts";
    let selection = json!({ "only": ["a1"], "filter": null });
    let summary = json!({ "count": 3, "sum": HASH });
    let end = |name| json!({ "name": name, "instance": format!("id of {name}") });
    let about = json!({ "direction": "push", "source": end("staging"), "target": end("production"), "started_by": "anna on web1",
        "options": { "batch_size": 500 } });
    let grant = json!({ "run": "0192", "authority": "redis", "holder": "push", "since_ms": 1, "renewed_ms": 2, "expires_ms": 3, "written": 4 });
    let entry = json!({ "i": "a1", "h": HASH, "s": 9, "d": "{\"_id\":1}" });
    let order = json!({ "made": 1, "bytes": "order", "approval": "00" });
    let file = json!({ "path": "/a.png", "size": 9, "sha256": WHOLE });
    let held = json!({ "cause": "missing_file", "message": "why" });
    let landed = json!({ "created": 1, "updated": 2, "deleted": 3, "bytes": 4, "before": summary, "after": summary });
    let receipt = json!({ "run": "0192", "instance": "id", "about": about, "authority": "redis", "holder": "push", "grants": 1,
        "began_ms": 1, "ended_ms": 2, "reason": "the run is over", "collections": { posts: landed },
        "undo": { "possible": true, "reason": null, "bytes": 5, "until_ms": 6 } });
    let key = json!({ "id": "ci", "kid": "0011223344556677", "purpose": "read", "from_ms": 1, "until_ms": 2, "place": "keys new",
        "last_used_ms": 3, "last_address": "::1" });
    let mark = json!({ "number": 7, "hash": WHOLE });
    let kinds = ["collection", "singleton", "tree"];
    let models = kinds.map(|kind| json!({ "name": kind, "kind": kind, "hash": HASH, "items": 3 }));
    let manifest = json!({ "protocol": 1, "agent_version": "0.1.0", "cockpit_version": "2.13.0", "instance": "id", "time_ms": 1,
        "capabilities": ["undo"], "read_only": false, "models": models, "locales": ["default", "de"], "singletons": 1, "assets": 2,
        "folders": 3, "tables": [{ "name": "pages/menus", "rows": 2, "keyed": true }], "grant": grant,
        "sync_lock": { "path": "/storage/tmp/sync.lock", "age_seconds": 9 },
        "undo": { "bytes": 1, "days": 7, "documents": 2 },
        "storage": { "user": "www-data", "not_writable": ["/data"], "index": true, "free_bytes": 1, "disk_bytes": 2 },
        "warnings": ["a model cannot be read"] });
    vec![
        call::<ManifestRequest>(json!({}), manifest),
        call::<OpenGrant>(
            json!({ "grant_id": "g1", "authority": "redis", "run": "0192", "holder": "push", "ttl_ms": 60000, "about": about }),
            json!({ "token": "t" }),
        ),
        call::<RenewGrant>(json!({ "token": "t" }), json!({})),
        call::<CloseGrant>(
            json!({ "which": { "run": "0192" }, "reason": "the run is over" }),
            json!({ "was_open": grant, "actions": 2 }),
        ),
        call::<ActionsRequest>(
            json!({ "run": "0192" }),
            json!({ "pending": 1, "done": [{ "name": "flush", "error": "it failed", "millis": 3 }] }),
        ),
        call::<ReceiptRequest>(json!({ "run": "last" }), json!({ "receipt": receipt })),
        call::<KeyRequest>(json!({ "kid": "0011223344556677" }), json!({ "key": key })),
        call::<AuditRequest>(
            json!({ "from": { "place": { "file": 1, "offset": 20 } } }),
            json!({ "lines": ["{}"], "next": { "file": 1, "offset": 22 }, "begin": mark, "head": mark }),
        ),
        call::<UndoPlanRequest>(
            json!({ "run": "0192", "collection": posts, "after": "a1" }),
            json!({ "put_back": 1, "bytes": 2, "deleted": 3, "remove": 4, "same": 5, "conflicts": causes(), "next": "a2" }),
        ),
        call::<UndoRequest>(
            json!({ "token": "t", "run": "0192", "collection": posts, "part": "put_back", "override_locks": true, "after": "a1", "order": order }),
            json!({ "created": 1, "updated": 2, "deleted": 3, "unchanged": 4, "bytes": 5, "conflicts": [], "next": null }),
        ),
        call::<ExtentRequest>(
            json!({ "collection": posts }),
            json!({ "complete": true, "first_row": 1, "last_row": 9 }),
        ),
        call::<SummaryRequest>(
            json!({ "collection": posts, "selection": selection, "run": "0192" }),
            json!({ "complete": true, "summary": summary, "bytes": 1, "held": [], "held_total": 2, "first_look": true }),
        ),
        call::<ListRequest>(
            json!({ "collection": posts, "selection": selection, "from_row": 1, "to_row": 9, "documents": true }),
            json!({ "complete": true, "entries": [entry], "held": causes(), "next_row": 10 }),
        ),
        call::<PartsRequest>(
            json!({ "collection": posts, "parts": 2, "as_stored": true }),
            json!({ "complete": true, "sums": [summary, summary] }),
        ),
        call::<ListPartsRequest>(
            json!({ "collection": posts, "parts": 1024, "which": [7], "from_row": 1 }),
            json!({ "complete": true, "entries": [], "held": [], "next_row": 10 }),
        ),
        call::<EmbeddedRequest>(
            json!({ "collection": posts, "selection": selection, "from_row": 1, "wanted": "assets", "except": selection, "part": 0, "parts": 2 }),
            json!({ "identities": ["a1"], "next_row": 10 }),
        ),
        call::<DocumentsRequest>(
            json!({ "collection": posts, "identities": ["a1"], "run": "0192" }),
            json!({ "documents": [entry], "missing": ["a2"], "not_sent": ["a3"], "changed": ["a1"] }),
        ),
        call::<DiffRequest>(
            json!({ "collection": posts, "run": "0192", "entries": [["a1", HASH]], "source": "id", "agree": true }),
            json!({ "differences": ["same", { "written": "created" }, { "edited": "updated" }, "lacks", "deleted", { "differs": HASH },
                { "changed": HASH }, { "conflict": HASH }] }),
        ),
        call::<AgreeRequest>(
            json!({ "collection": posts, "source": "id", "selection": selection, "summary": summary }),
            json!({}),
        ),
        call::<WriteRequest>(
            json!({ "token": "t", "collection": posts, "modified": 1, "override_locks": true, "documents": [
                { "i": "a1", "e": HASH, "d": { "inline": "{}" } }, { "i": "a2", "e": null, "d": { "upload": WHOLE } }] }),
            json!({ "outcomes": ["created", "updated", "unchanged", { "conflict": HASH }, { "held": held }] }),
        ),
        call::<FilesRequest>(json!({ "assets": ["a1"] }), json!({ "files": [{ "present": file }, { "held": held }] })),
        call::<ReadFileRequest>(
            json!({ "asset": "a1", "sha256": WHOLE, "offset": 1, "length": 2 }),
            json!({ "bytes": "ab" }),
        ),
        call::<StatFilesRequest>(
            json!({ "files": [file] }),
            json!({ "stats": ["same", { "wanted": { "uploaded": 1 } }, { "held": held }] }),
        ),
        call::<UploadRequest>(
            json!({ "token": "t", "parts": [{ "sha256": WHOLE, "size": 2, "offset": 0, "bytes": "ab" }] }),
            json!({ "lengths": [2] }),
        ),
        call::<PlaceFilesRequest>(json!({ "token": "t", "files": [file] }), json!({})),
        call::<AbsentRequest>(
            json!({ "collection": posts, "identities": ["a1"] }),
            json!({ "absent": ["a1"], "unproven": "a row cannot be read", "count": 3 }),
        ),
        call::<ProposeRequest>(
            json!({ "token": "t", "order": order, "collection": posts, "from_start": true, "identities": ["a1"],
                "listed": { "there": 3, "at_source": 2, "unproven": null } }),
            json!({}),
        ),
        call::<DecideRequest>(
            json!({ "token": "t", "order": order }),
            json!({ "refusals": ["too many"], "candidates": 1 }),
        ),
        call::<CandidatesRequest>(
            json!({ "token": "t", "collection": posts, "after": "a1" }),
            json!({ "candidates": [["a2", HASH]], "next": "a2" }),
        ),
        call::<DeleteRequest>(
            json!({ "token": "t", "collection": posts, "modified": 1, "override_locks": true, "documents": [["a1", HASH]] }),
            json!({ "outcomes": ["deleted", "gone", "conflict", { "not_empty": "a2 is in it" }, { "held": held }] }),
        ),
        call::<TidyFilesRequest>(
            json!({ "token": "t" }),
            json!({ "deleted": 1, "kept": [["/a.png", "a1 mentions it"]] }),
        ),
        call::<RememberSourceRequest>(
            json!({ "token": "t", "source": "id", "collection": posts, "count": 3 }),
            json!({}),
        ),
    ]
}

#[test]
fn what_agents_are_asked_and_answer_is_recorded_and_still_means_the_same() {
    let grant = json!({ "run": "0192", "authority": "redis", "holder": "push", "since_ms": 1, "renewed_ms": 2, "expires_ms": 3, "written": 4 });
    let refused =
        json!({ "code": "grant_held", "message": "why", "grant": grant, "server_time": 1, "retry_after_ms": 2 });
    let mut samples: Vec<Sample> = calls().into_iter().flat_map(|(_, both)| both).collect();
    samples.push(Sample::packed::<AgentError>("refused", refused));
    samples.push(Sample::packed::<Vec<ErrorCode>>("codes", errors().into()));
    are_read_as_recorded("calls.txt", &samples);
}

#[test]
fn every_call_of_the_documentation_is_recorded() {
    let text = include_str!("../../../../docs/wire-format.md");
    let (_, table) = text.split_once("### Calls").unwrap();
    let path = |line: &'static str| line.strip_prefix("| `")?.split('`').next();
    let documented: BTreeSet<&str> =
        table.lines().take_while(|line| !line.starts_with("**")).filter_map(path).collect();
    assert_eq!(calls().iter().map(|(path, _)| *path).collect::<BTreeSet<_>>(), documented);
}
