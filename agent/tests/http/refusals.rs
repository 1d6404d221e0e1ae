//! Every way in which a request can be wrong, by name. Each starts from a request that is accepted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::api::{ErrorCode, ExtentRequest, MAX_REQUEST_BYTES};
use protocol::sign::{ANSWER_HEADER, ANY_INSTANCE, SyncKey, body_hash, sign_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{RawRequest, TestAgent, now};

/// The code of the signed refusal, and what it says.
async fn refused(request: &RawRequest) -> (u16, ErrorCode, String) {
    let answer = request.send().await;
    let refusal = answer.refusal();
    (answer.status, refusal.code, refusal.message)
}

#[tokio::test]
async fn a_sound_request_is_answered_under_signature() {
    let agent = TestAgent::start().await;
    let answer = agent.request().send().await;
    assert_eq!((answer.status, answer.is_signed), (200, true), "{}", String::from_utf8_lossy(&answer.body));
    agent.client().manifest().await.unwrap();
}

#[tokio::test]
async fn an_expired_token_is_told_the_time_of_both_clocks() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.claims.iat = now() - 61;
    request.claims.exp = now() - 1;
    let answer = request.send().await;
    let refusal = answer.refusal();
    assert_eq!((answer.status, refusal.code), (401, ErrorCode::ClockSkew));
    assert!((refusal.server_time.unwrap() - now()).abs() <= 2);
    assert!(refusal.message.contains(&request.claims.iat.to_string()), "{}", refusal.message);
    assert!(refusal.message.contains("expired"), "{}", refusal.message);
}

#[tokio::test]
async fn a_token_from_the_future_is_refused() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.claims.iat = now() + 120;
    request.claims.exp = now() + 180;
    let (status, code, message) = refused(&request).await;
    assert_eq!((status, code), (401, ErrorCode::ClockSkew));
    assert!(message.contains("from the future"), "{message}");
}

#[tokio::test]
async fn a_token_that_lives_too_long_is_refused() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.claims.exp = request.claims.iat + 121;
    assert_eq!(refused(&request).await.1, ErrorCode::Unauthorized);
    request.claims.exp = request.claims.iat - 1;
    assert_eq!(refused(&request).await.1, ErrorCode::Unauthorized);
    (request.claims.iat, request.claims.exp) = (i64::MIN, i64::MAX);
    assert_eq!(refused(&request).await.1, ErrorCode::Unauthorized);
}

#[tokio::test]
async fn a_request_is_taken_once() {
    let agent = TestAgent::start().await;
    let request = agent.request();
    assert_eq!(request.send().await.status, 200);
    let (status, code, _) = refused(&request).await;
    assert_eq!((status, code), (401, ErrorCode::Replayed));
}

#[tokio::test]
async fn a_request_that_was_refused_does_not_use_up_its_token() {
    let agent = TestAgent::start().await;
    let request = agent.request();
    let elsewhere = RawRequest { url: agent.endpoint("extent"), ..request.clone() };
    assert_eq!(refused(&elsewhere).await.1, ErrorCode::Unauthorized);
    assert_eq!(request.send().await.status, 200);
}

#[tokio::test]
async fn a_token_for_another_path_is_refused() {
    let agent = TestAgent::start().await;
    let request = RawRequest { url: agent.endpoint("grant/close"), ..agent.request() };
    let (status, code, message) = refused(&request).await;
    assert_eq!((status, code), (401, ErrorCode::Unauthorized));
    assert!(message.contains("/api/sync/manifest") && message.contains("/api/sync/grant/close"), "{message}");
}

#[tokio::test]
async fn a_token_for_another_method_is_refused() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.claims.m = "GET".into();
    assert_eq!(refused(&request).await.1, ErrorCode::Unauthorized);
}

#[tokio::test]
async fn another_body_than_the_signed_one_is_refused() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.body = b"\x81\xa1a\x01".to_vec();
    let (status, code, message) = refused(&request).await;
    assert_eq!((status, code), (401, ErrorCode::Unauthorized));
    assert!(message.contains("body"), "{message}");
}

#[tokio::test]
async fn a_request_for_another_instance_is_refused_naming_both() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.claims.aud = "another-instance".into();
    let (status, code, message) = refused(&request).await;
    assert_eq!((status, code), (421, ErrorCode::WrongInstance));
    assert!(message.contains("another-instance") && message.contains(agent.running.instance()), "{message}");
}

#[tokio::test]
async fn any_instance_may_be_asked_for_its_manifest_and_for_nothing_else() {
    let agent = TestAgent::start().await;
    let mut manifest = agent.request();
    manifest.claims.aud = ANY_INSTANCE.into();
    assert_eq!(manifest.send().await.status, 200);
    let body =
        rmp_serde::to_vec_named(&ExtentRequest { collection: protocol::collection::Collection::Assets }).unwrap();
    let mut extent = agent.request_for::<ExtentRequest>(body);
    extent.claims.aud = ANY_INSTANCE.into();
    assert_eq!(refused(&extent).await.1, ErrorCode::WrongInstance);
}

#[tokio::test]
async fn an_unknown_key_gets_no_signature() {
    let agent = TestAgent::start().await;
    let key = SyncKey::new("a key that this agent does not know").unwrap();
    let answer = RawRequest { key, ..agent.request() }.send().await;
    assert_eq!(answer.status, 401);
    assert!(answer.headers.get(ANSWER_HEADER).is_none());
    assert_eq!(answer.headers["x-cockpit-sync"], "agent");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["code"], "unauthorized");
}

#[tokio::test]
async fn a_request_without_a_sound_token_gets_no_signature() {
    let agent = TestAgent::start().await;
    let request = agent.request();
    let good = sign_request(&request.key, &request.claims);
    let claims = good.split('.').nth(1).unwrap();
    let unsigned_header = format!(r#"{{"alg":"none","typ":"JWT","kid":"{}"}}"#, request.key.id());
    let alg_none = format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(unsigned_header));
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode([0; 32]));
    for token in ["", "garbage", "a.b.c", &alg_none, &forged, &"x".repeat(5000)] {
        let answer = request.send_with_token(token).await;
        assert_eq!(answer.status, 401, "{token}");
        assert!(answer.headers.get(ANSWER_HEADER).is_none(), "{token}");
    }
    assert_eq!(request.send().await.status, 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_words_even_while_it_is_still_sent() {
    let agent = TestAgent::start().await;
    for size in [MAX_REQUEST_BYTES + 64 * 1024 + 1, 8 * 1024 * 1024] {
        let mut request = agent.request();
        request.body = vec![0; size];
        request.claims.b = body_hash(&request.body);
        let (status, code, _) = refused(&request).await;
        assert_eq!((status, code), (413, ErrorCode::TooLarge));
    }
}

#[tokio::test]
async fn who_sends_everything_before_reading_gets_to_read_why_it_was_refused() {
    let agent = TestAgent::start().await;
    let request = agent.request();
    let token = sign_request(&request.key, &request.claims);
    for (header, expected) in [
        ("authorization: Bearer garbage", "HTTP/1.1 401"),
        (&format!("authorization: Bearer {token}\r\ncontent-encoding: gzip"), "HTTP/1.1 415"),
        (&format!("authorization: Bearer {token}"), "HTTP/1.1 413"),
    ] {
        let body = vec![0; 12 * 1024 * 1024];
        let head = format!(
            "POST /api/sync/manifest HTTP/1.1\r\nhost: agent\r\n{header}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(agent.running.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&start), expected);
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_read() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.body = vec![0xc1; MAX_REQUEST_BYTES];
    request.claims.b = body_hash(&request.body);
    assert_eq!(refused(&request).await.1, ErrorCode::BadRequest);
}

#[tokio::test]
async fn garbage_in_the_body_is_refused_saying_what_is_wrong() {
    let agent = TestAgent::start().await;
    let deep = vec![0x91; 100_000];
    let huge_array = b"\xdd\xff\xff\xff\xff".to_vec();
    for body in [b"\xc1".to_vec(), Vec::new(), deep, huge_array, b"{\"collection\":\"assets\"}".to_vec()] {
        let (status, code, message) = refused(&agent.request_for::<ExtentRequest>(body)).await;
        assert_eq!((status, code), (400, ErrorCode::BadRequest));
        assert!(message.contains("MessagePack"), "{message}");
    }
    assert_eq!(agent.request().send().await.status, 200);
}

#[tokio::test]
async fn another_method_than_post_is_refused() {
    let agent = TestAgent::start().await;
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
        let mut request = agent.request();
        request.claims.m = method.to_string();
        request.method = method;
        let (status, code, _) = refused(&request).await;
        assert_eq!((status, code), (405, ErrorCode::BadRequest));
    }
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let agent = TestAgent::start().await;
    let mut request = agent.request();
    request.headers.push(("content-encoding", "gzip"));
    let (status, _, message) = refused(&request).await;
    assert_eq!(status, 415);
    assert!(message.contains("compressed"), "{message}");
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_refused_under_signature_only_for_those_with_a_key() {
    let agent = TestAgent::start().await;
    let request = RawRequest { url: agent.endpoint("delete"), ..agent.request() };
    let (status, code, _) = refused(&request).await;
    assert_eq!((status, code), (404, ErrorCode::BadRequest));
    let stranger = request.send_with_token("").await;
    assert_eq!((stranger.status, stranger.is_signed), (404, false));
    let outside = RawRequest { url: format!("{}/index.php", agent.url()), ..agent.request() };
    assert_eq!(refused(&outside).await.0, 404);
}

#[tokio::test]
async fn a_cockpit_below_a_path_is_reached_through_a_proxy_that_keeps_it() {
    let agent = TestAgent::start().await;
    let request = RawRequest { url: format!("{}/cms/api/sync/manifest", agent.url()), ..agent.request() };
    assert_eq!(request.send().await.status, 200);
}
