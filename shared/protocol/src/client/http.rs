//! The HTTP client that all agent clients of a process share.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy};

/// How connections are made and kept.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    pub connect_timeout: Duration,
    /// Shorter than what web servers keep idle connections for (nginx: 75 s): a request on a connection that is just
    /// being closed has an unknown outcome.
    pub idle_timeout: Duration,
    pub idle_connections: usize,
    /// For https; loopback and plain http never go through one. Default: `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: Option<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let proxy = ["HTTPS_PROXY", "https_proxy"].iter().find_map(|name| std::env::var(name).ok());
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            idle_connections: 64,
            proxy: proxy.filter(|url| !url.is_empty()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made: {0}")]
pub struct HttpClientError(#[from] reqwest::Error);

/// No redirects (a signed request must not wander), no compression (bounds count real bytes), HTTP/1.1 with kept
/// connections. Certificates are those of the system; `SSL_CERT_FILE` names others.
pub fn http_client(settings: &HttpSettings) -> Result<reqwest::Client, HttpClientError> {
    // reqwest panics without a provider; one that the program chose itself stays.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("cockpit-sync/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_gzip()
        .no_zstd()
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(settings.idle_connections)
        .no_proxy();
    if let Some(url) = &settings.proxy {
        builder = builder.proxy(Proxy::https(url)?.no_proxy(NoProxy::from_env()));
    }
    Ok(builder.build()?)
}
