//! The check as Cockpit's documentation has it, and the client's side of it.

use cockpit_sync_agent::{AgentSettings, Rate};
use protocol::client::{BaseUrl, CallError, CheckAnswer, PlainHttp, check_raw};
use serde_json::{Value, json};

use crate::fixture::{KEY, TestAgent, http};
use crate::stand_in::{StandIn, page};

async fn post(agent: &TestAgent, body: &str) -> (u16, Value) {
    let request = http().post(agent.endpoint("check")).header("content-type", "application/json");
    let answer = request.body(body.to_owned()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn base_url(url: &str) -> BaseUrl {
    BaseUrl::parse(url, PlainHttp::LoopbackOnly).unwrap()
}

#[tokio::test]
async fn the_documented_curl_works_word_for_word() {
    let agent = TestAgent::start().await;
    let (status, answer) = post(&agent, &json!({ "syncKey": KEY }).to_string()).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)));
    assert!(answer["version"].is_string(), "{answer}");
}

#[tokio::test]
async fn the_documented_health_script_asks_without_a_key() {
    let agent = TestAgent::start().await;
    let answer: Value = http().get(agent.endpoint("check")).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["success"], true);
}

#[tokio::test]
async fn a_wrong_key_or_body_is_no_success() {
    let agent = TestAgent::start().await;
    for (body, expected) in
        [(r#"{"syncKey":"wrong"}"#, 401), (r#"{"syncKey":""}"#, 401), (r#"{"syncKey":1}"#, 400), ("", 400)]
    {
        let (status, answer) = post(&agent, body).await;
        assert_eq!((status, &answer["success"]), (expected, &json!(false)), "{body}");
        assert!(answer["error"].is_string() && !answer.to_string().contains(KEY), "{answer}");
    }
    assert_eq!(post(&agent, &"x".repeat(100_000)).await.0, 400);
    let answer = http().delete(agent.endpoint("check")).send().await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn guessing_keys_is_slowed_down_and_signed_requests_go_on() {
    let slowly = |settings| AgentSettings { failed_attempts: Rate::parse("30/h").unwrap(), ..settings };
    let agent = TestAgent::start_with(slowly).await;
    let guesses = async {
        for guess in 0..100 {
            let (status, _) = post(&agent, &json!({ "syncKey": format!("guess {guess}") }).to_string()).await;
            if status == 429 {
                return guess;
            }
            assert_eq!(status, 401);
        }
        panic!("a hundred guesses and nobody minds");
    };
    assert!(guesses.await > 5, "a person may mistype a key");
    assert_eq!(post(&agent, &json!({ "syncKey": KEY }).to_string()).await.0, 429);
    let error = check_raw(&http(), "tested", &base_url(&agent.url()), KEY).await.unwrap_err();
    assert!(error.retry_after().is_some_and(|wait| !wait.is_zero()), "{error:?}");
    agent.client().manifest().await.unwrap();
}

#[tokio::test]
async fn the_client_checks_as_documented() {
    let agent = TestAgent::start().await;
    let answer = check_raw(&http(), "tested", &base_url(&agent.url()), KEY).await.unwrap();
    assert!(answer.success && answer.version.is_some());
    let answer = check_raw(&http(), "tested", &base_url(&agent.url()), "not the key").await.unwrap();
    assert!(matches!(answer, CheckAnswer { success: false, error: Some(_), .. }), "{answer:?}");
}

#[tokio::test]
async fn a_page_is_no_check_and_a_raw_key_does_not_leave_the_machine_readable() {
    let page = StandIn::saying(page("200 OK", "", "<title>Welcome</title>")).await;
    let error = check_raw(&http(), "tested", &base_url(&page.url), KEY).await.unwrap_err();
    assert!(matches!(error, CallError::NotAnAgent { status: 200, .. }), "{error:?}");
    let elsewhere = BaseUrl::parse("http://192.0.2.1", PlainHttp::Allowed).unwrap();
    let error = check_raw(&http(), "tested", &elsewhere, KEY).await.unwrap_err();
    assert!(matches!(&error, CallError::Unreachable { cause, .. } if cause.contains("plain http")), "{error:?}");
}
