//! A stand-in for whatever may answer in an agent's place: it says, byte for byte, what a test makes it say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::client::AgentClient;
use protocol::sign::{ANSWER_HEADER, Claims, SyncKey, read_request_token, sign_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::fixture::{base_url, http, key};

/// Answers every request with the same bytes, or with what a function makes of the request's claims.
pub struct StandIn {
    pub url: String,
    requests: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl StandIn {
    pub async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::answering(move |_, _| answer.clone()).await
    }

    /// The function gets the claims and which request it is, counted from 0.
    pub async fn answering(answer: impl Fn(&Claims, usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let claims = read_request(&mut stream).await;
                let bytes = answer(&claims, counted.fetch_add(1, Ordering::SeqCst));
                // The client may have hung up already: that is its right.
                let _hung_up = stream.write_all(&bytes).await;
                let _hung_up = stream.shutdown().await;
            }
        });
        Self { url, requests, serving }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn client(&self) -> AgentClient {
        AgentClient::new(http(), "production", base_url(&self.url), key(), Some("an-instance".into()))
    }
}

/// Reads a whole request, so that closing the connection does not reset it.
async fn read_request(stream: &mut TcpStream) -> Claims {
    let mut bytes = Vec::new();
    let head_end = loop {
        let mut part = [0; 16 * 1024];
        let length = stream.read(&mut part).await.unwrap();
        assert_ne!(length, 0, "the request broke off");
        bytes.extend_from_slice(&part[..length]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap().to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let length: usize = field("content-length:").unwrap().parse().unwrap();
    let mut rest = vec![0; length - (bytes.len() - head_end)];
    stream.read_exact(&mut rest).await.unwrap();
    // The token is case-sensitive, the head above is lowered.
    let original = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    match original.split("Bearer ").nth(1).and_then(|rest| rest.lines().next()) {
        Some(token) => read_request_token(&[key()], token).unwrap().1,
        // The check has no token.
        None => Claims::new(0, "nobody", "", b""),
    }
}

/// An HTTP answer with a length.
pub fn page(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut page = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    page.extend_from_slice(body);
    page
}

/// What an agent with this key would answer to the request with this `jti`.
pub fn signed_page(key: &SyncKey, jti: &str, status: u16, body: impl AsRef<[u8]>) -> Vec<u8> {
    let signature = sign_answer(key, jti, status, body.as_ref());
    page(&format!("{status} Signed"), &format!("{ANSWER_HEADER}: {signature}\r\n"), body)
}
