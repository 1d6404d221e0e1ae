//! What processes leave in Redis and in files for others, and what is signed, as it was recorded.

use cockpit_sync_protocol::api::Receipt;
use cockpit_sync_protocol::audit;
use cockpit_sync_protocol::counts::Note;
use cockpit_sync_protocol::drift::Drift;
use cockpit_sync_protocol::keys::KeyInfo;
use cockpit_sync_protocol::log::Line;
use cockpit_sync_protocol::mirror::{MirrorOrder, SignedOrder, UndoOrder};
use cockpit_sync_protocol::sign::{
    Claims, SyncKey, answer_is_genuine, approve, is_approved, read_request_token, sign_answer, sign_request,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::recorded::{Sample, are_read_as_recorded, recorded};

/// JSON, as `write` writes it today.
fn json<T: Serialize + DeserializeOwned>(name: &str, says: Value) -> Sample {
    let value: T = serde_json::from_value(says).unwrap_or_else(|error| panic!("{name}: {error}"));
    let read = |bytes: &[u8]| {
        let value: T = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(&value).unwrap())
    };
    Sample { name: name.into(), bytes: serde_json::to_vec(&value).unwrap(), read }
}

fn notes() -> Vec<Sample> {
    let one = |name: &str, more: Value| {
        let mut says =
            json!({ "note": name, "resource": "content", "model": "posts", "identity": "a1", "message": "why" });
        says.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json::<Note>(&format!("note:{name}"), says)
    };
    vec![
        one("held", json!({ "cause": "missing_asset" })),
        one("edited_meanwhile", json!({})),
        one("conflict", json!({ "kept": "source" })),
        one("action", json!({ "name": "flush", "error": "it failed" })),
    ]
}

fn receipt() -> Value {
    let end = |name| json!({ "name": name, "instance": format!("id of {name}") });
    json!({
        "run": "0192", "instance": "id", "authority": "redis", "holder": "push", "grants": 1, "began_ms": 1, "ended_ms": 2,
        "about": { "direction": "push", "source": end("staging"), "target": end("production"), "started_by": "anna on web1",
            "options": { "batch_size": 500 } },
        "reason": "the run is over",
        "collections": { "assets/files": { "created": 1, "updated": 2, "deleted": 3, "bytes": 4, "before": null,
            "after": { "count": 3, "sum": "000102030405060708090a0b0c0d0e0f" } } },
        "undo": { "possible": false, "reason": "dropped", "bytes": 5, "until_ms": 6 },
    })
}

/// A line of the audit log, read as whoever checks the chain reads it.
fn audit_line() -> Sample {
    let says = json!({ "number": 7, "time": "2026-11-22T13:09:40Z", "action": "run_ended", "target": "id", "user": "anna on web1",
        "key": "0011223344556677", "address": "10.0.0.1", "run": "0192", "reason": "the run is over", "counts": { "created": 3 },
        "receipt": "ab", "previous": "cd" });
    let entry: audit::Entry = serde_json::from_value(says).unwrap();
    let read = |bytes: &[u8]| {
        let (entry, hash) = audit::Entry::read(std::str::from_utf8(bytes).unwrap()).ok_or("no line of the chain")?;
        Ok(json!({ "entry": entry, "hash": hash }))
    };
    Sample { name: "audit".into(), bytes: entry.line().0.into_bytes(), read }
}

fn audit_actions() -> Value {
    let words = "grant_opened grant_closed run_ended deletes_decided deleted undone refused agent_started keys_changed log_damaged";
    words.split(' ').map(Value::from).collect()
}

#[test]
fn what_is_left_for_others_is_recorded_and_still_means_the_same() {
    let line = json!({ "time": "2026-11-22T13:09:40.123456Z", "level": "warn", "channel": "sync", "process": "web1/4711", "run": "0192",
        "job": "content/posts", "message": "job failed", "fields": { "attempts": 2, "error": "why" } });
    let key = json!({ "id": "ci", "kid": "0011223344556677", "purpose": "write", "from_ms": null, "until_ms": 2, "place": "keys new",
        "last_used_ms": 3, "last_address": "::1" });
    let mut samples = vec![
        json::<Line>("log", line),
        json::<Drift>(
            "drift",
            json!({ "source": "staging", "differ": 3, "at": "2026-11-22T13:09:40Z", "by": "anna on web1" }),
        ),
        json::<Receipt>("receipt", receipt()),
        json::<KeyInfo>("key", key),
        json::<Vec<audit::Action>>("audit:actions", audit_actions()),
        audit_line(),
    ];
    samples.extend(notes());
    are_read_as_recorded("kept.txt", &samples);
}

/// The audit log names a receipt by this.
#[test]
fn the_hash_of_a_receipt_is_what_it_was() {
    let (_, bytes, _) = recorded("kept.txt").into_iter().find(|(name, ..)| name == "receipt").unwrap();
    let receipt: Receipt = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(receipt.hash(), "a83b8513e8939eda61837b9f40a66ac3bc26849d887abad63f317164e6144cd5");
}

fn key() -> SyncKey {
    SyncKey::new("a key of twenty characters").unwrap()
}

/// A signature that is read, and is sound.
fn signed() -> Vec<Sample> {
    let claims = Claims { jti: "00".repeat(16), ..Claims::new(1_790_000_000, "id", "/api/sync/list", b"body") };
    let token = |bytes: &[u8]| {
        let key = key();
        let (_, claims) =
            read_request_token([&key], std::str::from_utf8(bytes).unwrap()).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(claims).unwrap())
    };
    let answer =
        |bytes: &[u8]| Ok(answer_is_genuine(&key(), "jti", 200, b"body", std::str::from_utf8(bytes).unwrap()).into());
    let mirror = MirrorOrder {
        run: "0192".into(),
        source: "a".into(),
        target: "b".into(),
        scope: serde_json::from_value(json!([{ "collection": "assets", "selection": { "only": ["a1"] } }])).unwrap(),
        max_delete: Some("10%".parse().unwrap()),
        allow_shrunk: true,
    };
    let undo = UndoOrder { run: "0193".into(), target: "b".into(), undoes: "0192".into() };
    let pack = |order: Vec<u8>| rmp_serde::to_vec_named(&approve(&key(), 1_790_000_000, order)).unwrap();
    vec![
        Sample { name: "token".into(), bytes: sign_request(&key(), &claims).into_bytes(), read: token },
        Sample { name: "answer".into(), bytes: sign_answer(&key(), "jti", 200, b"body").into_bytes(), read: answer },
        Sample {
            name: "order:mirror".into(),
            bytes: pack(mirror.encode()),
            read: |bytes| read_order(bytes, |signed| serde_json::to_value(signed.order().unwrap()).unwrap()),
        },
        Sample {
            name: "order:undo".into(),
            bytes: pack(undo.encode()),
            read: |bytes| read_order(bytes, |signed| serde_json::to_value(signed.undo_order().unwrap()).unwrap()),
        },
    ]
}

fn read_order(bytes: &[u8], says: fn(&SignedOrder) -> Value) -> Result<Value, String> {
    let signed: SignedOrder = cockpit_sync_protocol::msgpack::read(bytes).map_err(|error| error.to_string())?;
    Ok(json!({ "approved": is_approved([&key()], &signed), "says": says(&signed) }))
}

#[test]
fn what_was_signed_is_still_sound() {
    are_read_as_recorded("signed.txt", &signed());
    for (name, _, meaning) in recorded("signed.txt") {
        let is_sound = [&meaning, &meaning["approved"]].contains(&&Value::Bool(true)) || meaning["jti"].is_string();
        assert!(is_sound, "{name}: {meaning}");
    }
}
