//! Webhooks.

use std::process::Command;

use serde_json::{Value, json};
use servers::{Receiver, free_port};

use crate::{bring, entry, finished};

fn hook(port: u16, path: &str, more: &str) -> notifying::Entry {
    entry(&format!("name = 'hook'\nevent = '*'\n[webhook]\nurl = 'http://127.0.0.1:{port}{path}'\n{more}"))
}

/// By another implementation than ours.
fn hmac_by_openssl(key: &str, text: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("text");
    std::fs::write(&file, text).unwrap();
    let made = Command::new("openssl").args(["dgst", "-sha256", "-binary", "-hmac", key]).arg(&file).output().ok()?;
    let raw = folder.path().join("mac");
    std::fs::write(&raw, made.stdout).unwrap();
    let coded = Command::new("openssl").args(["base64", "-A", "-in"]).arg(&raw).output().ok()?;
    String::from_utf8(coded.stdout).ok()
}

#[tokio::test]
async fn a_webhook_is_the_event_signed_with_its_id_and_time() {
    let port = free_port();
    let receiver = Receiver::start(port);
    let entry = hook(port, "/in", "secret = 'a secret of both'\nheaders = { Authorization = 'Bearer x' }");
    let notice = bring(&entry, &finished()).await.unwrap();
    let call = receiver.calls().remove(0);
    assert_eq!(serde_json::from_str::<Value>(&call.body).unwrap(), finished());
    let header = |name: &str| call.headers[name].as_str();
    assert_eq!((header("webhook-id"), header("content-type")), (notice.id.as_str(), "application/json"));
    assert_eq!(header("authorization"), "Bearer x");
    let signed = format!("{}.{}.{}", notice.id, header("webhook-timestamp"), call.body);
    match hmac_by_openssl("a secret of both", &signed) {
        Some(mac) => assert_eq!(header("webhook-signature"), format!("v1,{mac}")),
        None => servers::say_skipped("the signature of a webhook", "there is no openssl to compare with"),
    }
}

#[tokio::test]
async fn a_chat_gets_one_line() {
    let port = free_port();
    let receiver = Receiver::start(port);
    bring(&hook(port, "/chat", "preset = 'slack'"), &finished()).await.unwrap();
    bring(&hook(port, "/chat", "preset = 'slack'\ntext = '{{ target.name }} is {{ state }}'"), &finished())
        .await
        .unwrap();
    let lines: Vec<Value> = receiver.calls().iter().map(|call| serde_json::from_str(&call.body).unwrap()).collect();
    let first = "push staging -> production: finished_held, 3 held";
    assert_eq!(lines, [json!({ "text": first }), json!({ "text": "production is finished_held" })]);
}

#[tokio::test]
async fn whatever_is_no_success_is_tried_again_and_no_address_is_told() {
    let port = free_port();
    let down = bring(&hook(port, "/hush", ""), &finished()).await.unwrap_err();
    assert!(!down.lasting && !down.why.contains("hush"), "{down:?}");
    let receiver = Receiver::start(port);
    for status in ["500", "404", "302"] {
        let failed = bring(&hook(port, &format!("/{status}/hush"), ""), &finished()).await.unwrap_err();
        assert!(!failed.lasting && failed.why.contains(status) && !failed.why.contains("hush"), "{failed:?}");
    }
    assert_eq!(receiver.calls().len(), 3);
}
