//! `serve` ends TLS itself: its certificate is renewed while it runs, and those who log in get a cookie for https only.

use std::time::Duration;

use protocol::client::{HttpSettings, http_client};
use serde_json::json;
use servers::{Authority, Certificate};
use tokio::runtime::Runtime;

use super::{Served, access::user};
use crate::support::{Rig, small, wait_until};

/// What is sent by whoever believes this authority, and what comes back: status, cookie, body. None: no connection.
fn ask(url: &str, ca: &Authority, own: Option<&Certificate>, token: Option<&str>) -> Option<(u16, String, String)> {
    let http = http_client(&HttpSettings {
        proxy: None,
        ca: Some(ca.ca()),
        certificate: own.map(|own| (own.cert.clone(), own.key.clone())),
        ..HttpSettings::default()
    });
    let http = http.unwrap();
    let request = match token {
        Some(token) => http.post(url).json(&json!({ "token": token })),
        None => http.get(url),
    };
    // The client was seen to wait for ever for a connection that was refused.
    let request = request.timeout(Duration::from_secs(30));
    Runtime::new().unwrap().block_on(async {
        let answer = request.send().await.ok()?;
        let cookie = answer.headers().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        Some((answer.status().as_u16(), cookie.unwrap_or_default(), answer.text().await.ok()?))
    })
}

fn serve_with(rig: &mut Rig, certificate: &Certificate, more: &str) -> Served {
    let (cert, key) = (certificate.cert.display(), certificate.key.display());
    rig.more_config += &format!("[serve]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\n{more}");
    Served::start(rig)
}

#[test]
fn serve_ends_tls_itself_and_shows_a_renewed_certificate_without_a_new_start() {
    let mut rig = Rig::without_instances();
    rig.add_empty("source");
    let anna = user(&mut rig, "anna", "sync/manage");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let certificate = old.sign("serve", "127.0.0.1");
    let served = serve_with(&mut rig, &certificate, "");
    let url = |path: &str| format!("https://{}{path}", served.address);
    let (status, cookie, _) = ask(&url("/api/session"), &old, None, Some(&anna)).unwrap();
    assert!(status == 200 && cookie.ends_with("; Secure"), "{status} {cookie}");
    assert_eq!(ask(&url("/api/runs"), &old, None, None).unwrap().0, 401);
    assert_eq!(ask(&url("/healthz"), &old, None, None).unwrap().0, 200);
    assert_eq!(ask(&url("/healthz"), &new, None, None), None, "whom we do not believe was believed");
    assert_eq!(ask(&url("/healthz").replace("https", "http"), &old, None, None), None, "it speaks plain HTTP, too");

    let renewed = new.sign("serve", "127.0.0.1");
    std::fs::copy(&renewed.cert, &certificate.cert).unwrap();
    std::fs::copy(&renewed.key, &certificate.key).unwrap();
    wait_until("the new certificate is shown", || ask(&url("/healthz"), &new, None, None).is_some());
    assert_eq!(ask(&url("/healthz"), &old, None, None), None);
}

#[test]
fn serve_lets_in_who_has_a_certificate_of_the_named_authority_and_names_files_that_are_of_no_use() {
    let mut rig = Rig::new(&small());
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let certificate = servers.sign("serve", "127.0.0.1");
    let client_ca = format!("tls_client_ca = \"{}\"\n", clients.ca().display());
    let served = serve_with(&mut rig, &certificate, &client_ca);
    let url = format!("https://{}/healthz", served.address);
    assert_eq!(ask(&url, &servers, Some(&clients.sign("me", "me")), None).unwrap().0, 200);
    assert_eq!(ask(&url, &servers, None, None), None);
    assert_eq!(ask(&url, &servers, Some(&servers.sign("other", "other")), None), None);

    // TLS alone lets nobody from elsewhere in.
    rig.run(&["serve", "--listen", "0.0.0.0:0"]).expect_code(2).says(&["no user is configured"]);
    std::fs::write(&certificate.key, "").unwrap();
    rig.run(&["serve", "--listen", "127.0.0.1:0"]).expect_code(2).says(&[&certificate.key.display().to_string()]);
}
