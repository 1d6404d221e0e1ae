//! `/metrics`, `/healthz` and `/readyz`: beside the requests, never through their signatures, for viewers only.

use std::net::IpAddr;

use hyper::HeaderMap;
use protocol::viewing::{METRICS_TYPE, Page};

use super::answer::{self, Answer};
use super::exchange::Exchange;

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn answer(exchange: &Exchange, page: Page, peer: IpAddr, headers: &HeaderMap) -> Answer {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if !exchange.viewers.may_view(peer, header) {
        return text(403, "only this machine, or whoever has metrics_token, may look\n");
    }
    match (page, &exchange.render) {
        (Page::Health, _) => text(200, "alive\n"),
        (Page::Ready, _) => {
            let storage = exchange.storage.clone();
            let ready = tokio::task::spawn_blocking(move || storage.check_ready()).await;
            match ready.map_err(|error| error.to_string()).and_then(|checked| checked) {
                Ok(()) => text(200, "ready\n"),
                Err(why) => text(503, &format!("not ready: {why}\n")),
            }
        }
        (Page::Metrics, Some(render)) => answer::plain(200, METRICS_TYPE, render().into_bytes()),
        (Page::Metrics, None) => text(404, "this agent is part of another process and records nothing\n"),
    }
}

fn text(status: u16, words: &str) -> Answer {
    answer::plain(status, TEXT, words.as_bytes().to_vec())
}
