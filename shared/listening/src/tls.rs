//! TLS where a process ends it itself: which certificate is shown, and whose clients are let in. Files are read again
//! when they change; connections that are there stay.
//!
//! It must not know what is said over a connection.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::server::TlsStream;

/// For who connects and says nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Only clients with a certificate of this authority are let in; everybody when none.
    pub client_ca: Option<PathBuf>,
}

/// Why these files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{0}: {1}")]
    File(PathBuf, rustls::pki_types::pem::Error),
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    #[error("{0} and its key: {1}")]
    Certificate(PathBuf, rustls::Error),
    #[error("{0}: {1}")]
    ClientAuthority(PathBuf, rustls::server::VerifierBuilderError),
}

/// One side of connections: the server's.
pub struct Server {
    files: Files,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    read: Vec<Stamp>,
}

/// By what a file is recognised as the one that was read.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Server {
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let read = stamps(&files);
        let config = config(&files)?;
        Ok(Self { files, current: RwLock::new(Current { config, read }) })
    }

    /// Shakes hands.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone();
        tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads the files if they changed; true if new connections see something else now. What is of no use leaves
    /// everything as it is, and is said once.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let read = stamps(&self.files);
        if self.current.read().unwrap_or_else(PoisonError::into_inner).read == read {
            return Ok(false);
        }
        let config = config(&self.files);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.read = read;
        current.config = config?;
        Ok(true)
    }
}

fn config(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |error| TlsError::Certificate(files.cert.clone(), error);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(wrong)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| TlsError::Certificate(ca.clone(), error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::ClientAuthority(ca.clone(), error))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::File(files.key.clone(), error))?;
    let mut config = builder.with_single_cert(certificates(&files.cert)?, key).map_err(wrong)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |error| TlsError::File(file.into(), error);
    let read = CertificateDer::pem_file_iter(file).map_err(wrong)?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if certificates.is_empty() { Err(TlsError::Empty(file.into())) } else { Ok(certificates) }
}

fn stamps(files: &Files) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let file = std::fs::metadata(file).ok()?;
        Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
    };
    [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()].into_iter().flatten().map(stamp).collect()
}
