//! The HTTP client that all agent clients of a process share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Identity, NoProxy, Proxy};

use super::error::with_causes;

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
    /// PEM: the authority whose certificates are believed, and no other.
    pub ca: Option<PathBuf>,
    /// PEM: our certificate and its key, for servers that ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        let proxy = ["HTTPS_PROXY", "https_proxy"].iter().find_map(|name| std::env::var(name).ok());
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            idle_connections: 64,
            proxy: proxy.filter(|url| !url.is_empty()),
            ca: None,
            certificate: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    #[error("the HTTP client cannot be made: {}", with_causes(.0))]
    Settings(#[from] reqwest::Error),
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error("{0} holds no certificate, or not its key, in PEM: {1}")]
    Pem(PathBuf, reqwest::Error),
}

fn read(file: &Path) -> Result<Vec<u8>, HttpClientError> {
    std::fs::read(file).map_err(|error| HttpClientError::File(file.into(), error))
}

/// No redirects (a signed request must not wander), no compression (bounds count real bytes), HTTP/1.1 with kept
/// connections. Authorities are those of the system, unless `ca` says otherwise; `SSL_CERT_FILE` names others. Where a small
/// system has none, nobody is believed: https fails, and plain HTTP works.
pub fn http_client(settings: &HttpSettings) -> Result<reqwest::Client, HttpClientError> {
    // reqwest panics without a provider; one that the program chose itself stays.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = builder(settings)?;
    if settings.ca.is_some() {
        return Ok(builder.build()?);
    }
    // Without any authority it cannot be made. Whatever else is wrong is so with none, too.
    builder.build().or_else(|_| Ok(self::builder(settings)?.tls_certs_only([]).build()?))
}

fn builder(settings: &HttpSettings) -> Result<ClientBuilder, HttpClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("cockpit-sync/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_gzip()
        .no_zstd()
        .http1_only()
        .tcp_nodelay(true)
        .tls_info(true)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(settings.idle_connections)
        .no_proxy();
    if let Some(url) = &settings.proxy {
        builder = builder.proxy(Proxy::https(url)?.no_proxy(NoProxy::from_env()));
    }
    if let Some(file) = &settings.ca {
        let authority = Certificate::from_pem_bundle(&read(file)?);
        builder = builder.tls_certs_only(authority.map_err(|error| HttpClientError::Pem(file.clone(), error))?);
    }
    if let Some((cert, key)) = &settings.certificate {
        let both = [read(cert)?, b"\n".to_vec(), read(key)?].concat();
        builder =
            builder.identity(Identity::from_pem(&both).map_err(|error| HttpClientError::Pem(cert.clone(), error))?);
    }
    Ok(builder)
}
