//! Agents on real storages and port 0, and requests made by hand to be wrong in one respect.

use std::time::{SystemTime, UNIX_EPOCH};

use cockpit_sync_agent::{Agent, AgentSettings, RunningAgent};
use protocol::BASE_PATH;
use protocol::api::{AgentError, Call, ManifestRequest, OpenGrant};
use protocol::client::{AgentClient, BaseUrl, HttpSettings, PlainHttp, http_client};
use protocol::sign::{ANSWER_HEADER, Claims, SyncKey, answer_is_genuine, sign_request};
use tempfile::TempDir;

pub const KEY: &str = "the sync key of these tests";

pub fn key() -> SyncKey {
    SyncKey::new(KEY).unwrap()
}

pub fn base_url(url: &str) -> BaseUrl {
    BaseUrl::parse(url, PlainHttp::LoopbackOnly).unwrap()
}

pub fn http() -> reqwest::Client {
    http_client(&HttpSettings { proxy: None, ..HttpSettings::default() }).unwrap()
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Asks for the right to write.
pub fn opening() -> OpenGrant {
    OpenGrant {
        grant_id: "grant-1".into(),
        authority: "a deployment".into(),
        run: "run-1".into(),
        holder: "a test".into(),
        ttl_ms: 60_000,
        about: None,
    }
}

/// A running agent and the directory it serves.
pub struct TestAgent {
    pub running: RunningAgent,
    pub root: TempDir,
}

/// An empty Cockpit with the key of these tests in its config.php.
pub fn cockpit() -> TempDir {
    let root = TempDir::new().unwrap();
    instances::make_empty(root.path()).unwrap();
    instances::with_sync_key(root.path(), KEY).unwrap();
    root
}

pub fn settings(root: &TempDir) -> AgentSettings {
    AgentSettings::new(root.path(), "127.0.0.1:0".parse().unwrap())
}

impl TestAgent {
    pub async fn start() -> Self {
        Self::start_with(|settings| settings).await
    }

    pub async fn start_with(change: impl FnOnce(AgentSettings) -> AgentSettings) -> Self {
        let root = cockpit();
        let running = Agent::start(change(settings(&root))).await.unwrap();
        Self { running, root }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{BASE_PATH}{path}", self.url())
    }

    /// A client that knows the instance.
    pub fn client(&self) -> AgentClient {
        AgentClient::new(http(), "tested", base_url(&self.url()), key(), Some(self.running.instance().into()))
    }

    /// A sound request for the manifest.
    pub fn request(&self) -> RawRequest {
        let body = rmp_serde::to_vec_named(&ManifestRequest::default()).unwrap();
        self.request_for::<ManifestRequest>(body)
    }

    pub fn request_for<C: Call>(&self, body: Vec<u8>) -> RawRequest {
        let path = format!("{BASE_PATH}{}", C::PATH);
        RawRequest {
            claims: Claims::new(now(), self.running.instance(), &path, &body),
            url: self.endpoint(C::PATH),
            key: key(),
            method: reqwest::Method::POST,
            headers: Vec::new(),
            body,
        }
    }
}

/// A request in parts, each of which can be made wrong.
#[derive(Clone)]
pub struct RawRequest {
    pub claims: Claims,
    pub url: String,
    pub key: SyncKey,
    pub method: reqwest::Method,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Vec<u8>,
}

impl RawRequest {
    pub async fn send(&self) -> RawAnswer {
        self.send_with_token(&sign_request(&self.key, &self.claims)).await
    }

    pub async fn send_with_token(&self, token: &str) -> RawAnswer {
        let mut request = http().request(self.method.clone(), &self.url).body(self.body.clone());
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let body = answer.bytes().await.unwrap().to_vec();
        let is_signed = headers.get(ANSWER_HEADER).is_some_and(|signature| {
            answer_is_genuine(&self.key, &self.claims.jti, status, &body, signature.to_str().unwrap())
        });
        RawAnswer { status, headers, body, is_signed }
    }
}

pub struct RawAnswer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
    pub is_signed: bool,
}

impl RawAnswer {
    /// What a refusal says: only signed ones count.
    pub fn refusal(&self) -> AgentError {
        assert!(self.is_signed, "unsigned {}: {:?}", self.status, String::from_utf8_lossy(&self.body));
        assert_ne!(self.status, 200, "it was not refused");
        rmp_serde::from_slice(&self.body).unwrap()
    }
}
