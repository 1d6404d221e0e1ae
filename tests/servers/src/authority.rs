//! A certificate authority of a test's own.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Files in PEM.
pub struct Certificate {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it can sign itself");
        let authority = Self { issuer, folder: tempfile::tempdir().expect("a temporary folder can be made") };
        write(&authority.ca(), &authority.issuer.pem());
        authority
    }

    /// The file with its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate for a server at `host`, or for a client.
    pub fn sign(&self, name: &str, host: &str) -> Certificate {
        self.sign_as(name, named(name, &[host]))
    }

    /// As [`Authority::sign`], with an end so many days from now; one in the past has ended.
    pub fn sign_until(&self, name: &str, host: &str, days: i64) -> Certificate {
        let mut params = named(name, &[host]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
        let end = now.saturating_add_signed(days * 24 * 60 * 60);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        self.sign_as(name, params)
    }

    fn sign_as(&self, name: &str, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let signed = Certificate { ca: self.ca(), cert: file("pem"), key: file("key") };
        write(&signed.cert, &certificate.pem());
        write(&signed.key, &key.serialize_pem());
        signed
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).expect("these are names of hosts");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("a temporary file can be written");
}
