//! Who may do what.

use serde_json::{Value, json};

use super::{Answer, Served};
use crate::support::{Rig, small};

/// A token of a user of this role, and the user's entry in the config.
pub fn user(rig: &mut Rig, name: &str, role: &str) -> String {
    let made = rig.run(&["token", name]).expect_code(0).json();
    let hash = made["token_hash"].as_str().unwrap();
    rig.more_config += &format!("[user.{name}]\nrole = \"{role}\"\ntoken_hash = '{hash}'\n");
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn every_address_is_for_those_whom_the_document_names() {
    let mut rig = Rig::new(&small());
    let anna = user(&mut rig, "anna", "sync/manage");
    let ben = user(&mut rig, "ben", "sync/view");
    let cms = user(&mut rig, "cms", "sync/hook");
    rig.more_config += "[hook.cockpit]\ntarget = \"target\"\n";
    let served = Served::start(&mut rig);
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{run}", "last").replace("{target}", "nobody").replace("{hook}", "cockpit");
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["x-role"].as_str().unwrap();
            let ask = |token: &str| {
                let header =
                    if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
                let answer = served.ask(&method.to_uppercase(), &path, &header, Some(&json!({ "no": "thing" })));
                assert_ne!((answer.status, method == "get" && path == "/api/events"), (405, true));
                answer
            };
            let is_let_in = |answer: Answer| !matches!(answer.status, 401 | 403);
            assert_eq!(is_let_in(ask("")), matches!(role, "none" | "watch"), "nobody, {method} {path}");
            assert_eq!(is_let_in(ask(&ben)), matches!(role, "none" | "watch" | "sync/view"), "ben, {method} {path}");
            assert_eq!(is_let_in(ask(&cms)), matches!(role, "none" | "watch" | "sync/hook"), "cms, {method} {path}");
            // The last run is none yet, so nothing happens.
            assert!(is_let_in(ask(&anna)), "anna, {method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    let mut served = served;
    let push = json!({ "direction": "push", "instance": "target" });
    let refused = served.token(&ben).post("/api/runs", &push).expect(403);
    refused.says(&["ben has sync/view", "this needs sync/manage"]);
    let is_denied = |event: &Value| event["event"] == "sync.access.denied" && event["tried"] == "POST /api/runs";
    let told = served.events("?since=0", "").find(is_denied).unwrap();
    assert_eq!((&told["user"], &told["address"]), (&json!("ben"), &json!("127.0.0.1")));
    assert_eq!(served.get("/api/session").json(), json!({ "user": "ben", "role": "sync/view", "session": false }));
    let run = served.token(&anna).post("/api/runs", &push).expect(201).json();
    assert_eq!(run["started_by"], "anna at 127.0.0.1");
    served.headers = "Authorization: Bearer anna.guessed\r\n".into();
    served.get("/api/runs").expect(401).says(&["not known here"]);
    assert!(
        !served.process.stderr().contains(&anna) && !served.process.stderr().contains(&ben),
        "a token is in the log"
    );
}

#[test]
fn a_session_is_known_to_every_process_bound_to_our_pages_and_ends_everywhere() {
    let mut rig = Rig::new(&small());
    let anna = user(&mut rig, "anna", "sync/manage");
    let (one, other) = (Served::start(&mut rig), Served::start(&mut rig));
    one.post("/api/session", &json!({ "token": "anna.guessed" })).expect(401);
    let logged_in = one.post("/api/session", &json!({ "token": anna })).expect(200);
    assert_eq!(logged_in.json(), json!({ "user": "anna", "role": "sync/manage", "session": true }));
    let cookie = logged_in.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = format!("Cookie: other=1; {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(other.ask("GET", "/api/session", &cookie, None).expect(200).json()["user"], "anna");
    other.ask("GET", "/api/runs", &cookie, None).expect(200);

    // A page of another site may send the cookie along: nothing changes.
    let ask =
        |more: &str| other.ask("POST", "/api/targets/target/unlock", &format!("{cookie}{more}"), Some(&json!({})));
    ask("").expect(403).says(&["another site"]);
    ask("Origin: https://evil.example\r\n").expect(403);
    ask("Sec-Fetch-Site: cross-site\r\n").expect(403);
    ask("Sec-Fetch-Site: same-origin\r\n").expect(200);
    ask(&format!("Origin: http://{}\r\n", other.address)).expect(200);

    let out = one.ask("DELETE", "/api/session", &format!("{cookie}Sec-Fetch-Site: same-origin\r\n"), None).expect(200);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    other.ask("GET", "/api/runs", &cookie, None).expect(401).says(&["over"]);
}

#[test]
fn whoever_guesses_tokens_is_told_to_wait_and_who_has_one_is_not() {
    let mut rig = Rig::new(&small());
    let anna = user(&mut rig, "anna", "sync/view");
    let mut served = Served::start(&mut rig);
    served.token(&anna).get("/api/runs").expect(200);
    served.headers = String::new();
    let guess = || served.post("/api/session", &json!({ "token": "anna.guessed" }));
    let statuses: Vec<u16> = std::iter::repeat_with(|| guess().status).take(25).collect();
    assert!(statuses.starts_with(&[401, 401, 401]) && statuses.ends_with(&[429]), "{statuses:?}");
    let refused = guess().expect(429);
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() > 0));
    served.token(&anna).get("/api/runs").expect(200);
}

#[test]
fn without_users_this_machine_may_do_everything_and_nobody_else_anything() {
    let mut rig = Rig::new(&small());
    let config = rig.config();
    let elsewhere = rig.run_with(&config, &["serve", "--listen", "0.0.0.0:0"]).expect_code(2);
    elsewhere.says(&["no user is configured", "cockpit-sync token NAME"]);
    let served = Served::start(&mut rig);
    assert_eq!(
        served.get("/api/session").expect(200).json(),
        json!({ "user": null, "role": "sync/manage", "session": false })
    );
    // A name of somebody else's that leads here would make its pages ours.
    served.ask("GET", "/api/runs", "Host: evil.example\r\n", None).expect(403).says(&["evil.example"]);
    served.ask("GET", "/api/runs", "X-Forwarded-For: 192.0.2.1\r\n", None).expect(403).says(&["passed on"]);
    let from = |site: &str| served.ask("POST", "/api/targets/target/unlock", site, Some(&json!({})));
    from("Sec-Fetch-Site: cross-site\r\n").expect(403);
    from("Origin: https://evil.example\r\n").expect(403);
    from("").expect(200);
    // A form of another site can send text, but no JSON.
    served.ask("POST", "/api/runs", "Content-Type: text/plain\r\n", None).expect(415);
    served.post("/api/session", &json!({ "token": "x" })).expect(400).says(&["no user is configured"]);
    for (page, says) in [("/healthz", "alive"), ("/readyz", "ready"), ("/metrics", "cockpit_sync_build_info")] {
        assert!(served.get(page).expect(200).body.contains(says), "{page}");
    }
}
