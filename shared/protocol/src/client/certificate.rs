//! Until when the certificate that an agent shows is good.

use std::sync::Arc;
use std::time::Duration;

use reqwest::tls::TlsInfo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};

use super::AgentClient;

/// When every certificate has ended.
const LONG_AFTER: Duration = Duration::from_secs(1 << 40);

impl AgentClient {
    /// Unix seconds. The certificate is the agent's own, or that of the web server before it; none over plain HTTP, and
    /// where it cannot be told.
    pub async fn certificate_ends(&self) -> Option<u64> {
        let url = format!("{}/healthz", self.base_url().ok()?);
        // Whatever is answered, the certificate came first.
        let answer = self.http.get(url).timeout(self.timeout).send().await.ok()?;
        ends(answer.extensions().get::<TlsInfo>()?.peer_certificate()?)
    }
}

/// Nobody shows us the end of a certificate, but whoever verifies it for a time long after says which end was missed.
/// That is looked at before who signed it, so it may stand as its own authority.
fn ends(certificate: &[u8]) -> Option<u64> {
    let certificate = CertificateDer::from(certificate);
    let mut authorities = RootCertStore::empty();
    authorities.add(certificate.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), provider).build().ok()?;
    let (anybody, long_after) = (ServerName::try_from("localhost").ok()?, UnixTime::since_unix_epoch(LONG_AFTER));
    match verifier.verify_server_cert(&certificate, &[], &anybody, &[], long_after) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(not_after.as_secs())
        }
        _ => None,
    }
}
