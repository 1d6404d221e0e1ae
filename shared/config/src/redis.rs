//! `redis = "URL"`, or the table `[redis]` for what a URL cannot say.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Secret, secret_file};

/// A Redis that was found sound, as far as one can tell without asking it.
#[derive(Debug, Clone)]
pub struct Redis {
    pub place: RedisPlace,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// PEM files.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// RESP3 instead of RESP2.
    pub resp3: bool,
}

/// How it is run, and so how it is found. URLs may hold passwords.
#[derive(Debug, Clone)]
pub enum RedisPlace {
    /// One server.
    At(Secret),
    /// The master that these sentinels watch under this name.
    Sentinels { urls: Vec<Secret>, master: String },
    /// A cluster, of which these are some nodes.
    Cluster(Vec<Secret>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Table {
    url: Option<String>,
    sentinels: Vec<String>,
    master: Option<String>,
    cluster: Vec<String>,
    username: Option<String>,
    password: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    protocol: Option<u8>,
}

/// As it stands in the file: a string or a table.
pub(crate) struct RedisEntry(Table);

impl<'de> Deserialize<'de> for RedisEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = RedisEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, or a table with url, sentinels or cluster")
    }

    fn visit_str<E>(self, url: &str) -> Result<RedisEntry, E> {
        Ok(RedisEntry(Table { url: Some(url.into()), ..Table::default() }))
    }

    fn visit_map<M: MapAccess<'de>>(self, table: M) -> Result<RedisEntry, M::Error> {
        Table::deserialize(MapAccessDeserializer::new(table)).map(RedisEntry)
    }
}

impl RedisEntry {
    /// Relative paths are relative to `folder`.
    pub(crate) fn check(self, folder: &Path) -> Result<Redis, String> {
        let table = self.0;
        let secrets = |urls: Vec<String>| urls.into_iter().map(Secret::new).collect();
        let place = match (table.url, table.sentinels.is_empty(), table.cluster.is_empty()) {
            (Some(url), true, true) => RedisPlace::At(Secret::new(url)),
            (None, false, true) => {
                let master =
                    table.master.clone().ok_or("redis.sentinels needs redis.master, the name of what they watch")?;
                RedisPlace::Sentinels { urls: secrets(table.sentinels), master }
            }
            (None, true, false) => RedisPlace::Cluster(secrets(table.cluster)),
            _ => return Err("[redis] takes one of url, sentinels and cluster".into()),
        };
        if table.master.is_some() && !matches!(place, RedisPlace::Sentinels { .. }) {
            return Err("redis.master is for redis.sentinels only".into());
        }
        let password = match (table.password, table.password_file) {
            (Some(_), Some(_)) => return Err("[redis] has both a password and a password_file: give one".into()),
            (Some(password), None) => Some(password),
            (None, Some(file)) => {
                Some(secret_file(&folder.join(file)).map_err(|problem| format!("redis.password_file {problem}"))?)
            }
            (None, None) => None,
        };
        if table.username.is_some() && password.is_none() {
            return Err("redis.username needs redis.password or redis.password_file".into());
        }
        let certificate = match (table.cert, table.key) {
            (Some(cert), Some(key)) => Some((folder.join(cert), folder.join(key))),
            (None, None) => None,
            _ => return Err("redis.cert and redis.key belong together: give both".into()),
        };
        let resp3 = match table.protocol {
            None | Some(2) => false,
            Some(3) => true,
            Some(_) => return Err("redis.protocol is 2 or 3".into()),
        };
        let ca = table.ca.map(|ca| folder.join(ca));
        Ok(Redis { place, username: table.username, password: password.map(Secret::new), ca, certificate, resp3 })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Config, Environment};

    fn config(redis: &str) -> Result<Config, String> {
        let environment = Environment::of([("REDIS_PASSWORD".to_owned(), "of the environment".to_owned())]);
        let text = format!("local = 'a'\n{redis}\n[instance.a]\nurl = 'http://x'\nsync_key = 'k'");
        Config::parse(&text, "/etc/cs/cockpit-sync.toml".into(), &environment).map_err(|error| error.to_string())
    }

    fn redis(redis: &str) -> Redis {
        config(redis).unwrap().redis.unwrap()
    }

    #[test]
    fn a_url_alone_and_a_table_are_both_read() {
        let RedisPlace::At(url) = redis("redis = 'redis://h:1'").place else { panic!() };
        assert_eq!(url.expose(), "redis://h:1");
        let of_table = redis("[redis]\nurl = 'rediss://h:1'\nca = 'ca.pem'\ncert = 'c'\nkey = '/k'\nprotocol = 3");
        assert_eq!(of_table.ca.unwrap(), Path::new("/etc/cs/ca.pem"));
        assert_eq!(of_table.certificate.unwrap(), (PathBuf::from("/etc/cs/c"), PathBuf::from("/k")));
        assert!(of_table.resp3);
        let RedisPlace::Sentinels { urls, master } =
            redis("redis = { sentinels = ['redis://a', 'redis://b'], master = 'm' }").place
        else {
            panic!()
        };
        assert_eq!((urls.len(), master.as_str()), (2, "m"));
        assert!(
            matches!(redis("[redis]\ncluster = ['redis://a']").place, RedisPlace::Cluster(nodes) if nodes.len() == 1)
        );
    }

    #[test]
    fn the_examples_of_the_document_are_read() {
        let blocks = include_str!("../../../docs/redis.md").split("```toml\n").skip(1);
        let examples: Vec<&str> = blocks.filter_map(|block| block.split("```").next()).collect();
        assert_eq!(examples.len(), 5);
        for example in examples {
            // The only file that is there is this one.
            let example =
                example.replace("/etc/cockpit-sync/redis-password", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
            config(&example).unwrap();
        }
    }

    #[test]
    fn a_password_comes_from_the_environment_or_a_file_and_is_never_shown() {
        let read = redis("[redis]\nurl = 'redis://h'\nusername = 'cs'\npassword = '${REDIS_PASSWORD}'");
        assert_eq!(read.password.as_ref().unwrap().expose(), "of the environment");
        assert!(!format!("{read:?}").contains("environment"), "{read:?}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "of the file\n").unwrap();
        let read = redis(&format!("[redis]\nurl = 'redis://h'\npassword_file = '{}'", file.path().display()));
        assert_eq!(read.password.unwrap().expose(), "of the file");
    }

    #[test]
    fn each_mistake_is_named() {
        let error = |text: &str| config(text).unwrap_err();
        let unknown = error("[redis]\nurl = 'redis://h'\nsentinel = []");
        assert!(unknown.contains("`sentinel`") && unknown.contains("line 4"), "{unknown}");
        assert!(error("redis = 7").contains("a URL, or a table"), "{}", error("redis = 7"));
        assert!(error("[redis]").contains("one of url, sentinels and cluster"));
        assert!(error("[redis]\nurl = 'x'\ncluster = ['y']").contains("one of url, sentinels and cluster"));
        assert!(error("[redis]\nsentinels = ['x']").contains("needs redis.master"));
        assert!(error("[redis]\nurl = 'x'\nmaster = 'y'").contains("for redis.sentinels only"));
        assert!(error("[redis]\nurl = 'x'\npassword = 'y'\npassword_file = 'z'").contains("give one"));
        assert!(error("[redis]\nurl = 'x'\npassword_file = 'not there'").contains("cannot be read"));
        assert!(error("[redis]\nurl = 'x'\nusername = 'y'").contains("needs redis.password"));
        assert!(error("[redis]\nurl = 'x'\ncert = 'y'").contains("belong together"));
        assert!(error("[redis]\nurl = 'x'\nprotocol = 4").contains("2 or 3"));
    }
}
