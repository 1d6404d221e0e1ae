//! The way to the server that holds the deployment's keys now: it is named, or sentinels or a cluster's nodes tell.
//!
//! A cluster is not spoken to through a cluster client: all keys lie in one slot, so one connection to that slot's
//! master serves, and a client that follows `ASK` would run our scripts on half of the keys while the slot moves.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use redis::{Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, RedisResult, Value};

use super::words;
use crate::server::{Place, Server};
use crate::{Error, Result, Settings};

/// How long a sentinel or node may take to say where to go, and a found server to let us in: there are others.
const ONE_OF_MANY: Duration = Duration::from_secs(1);
/// Between looks while a failover is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is done with a client as soon as it is known where to.
pub(super) type Opening<T> = BoxFuture<'static, RedisResult<T>>;

pub(crate) struct Route {
    pub(super) server: Server,
    prefix: String,
    /// How long to look for a server that is just being replaced.
    patience: Duration,
    /// What the settings name: the server, the sentinels, or some nodes.
    entrances: Vec<ConnectionInfo>,
    /// Nodes of the cluster that others named: those of the settings may be the ones that died.
    heard_of: Mutex<Vec<ConnectionInfo>>,
}

impl Route {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let server = settings.server.clone();
        let urls = match &server.place {
            Place::At(url) => std::slice::from_ref(url),
            Place::Sentinels { urls, .. } | Place::Cluster(urls) => urls,
        };
        let mut entrances = Vec::new();
        for url in urls {
            entrances.push(entrance(&server, url)?);
        }
        if entrances.is_empty() {
            return Err(Error::Invalid("no address of a redis is given".into()));
        }
        let (prefix, patience) = (settings.prefix.clone(), settings.response_timeout);
        Ok(Self { server, prefix, patience, entrances, heard_of: Mutex::default() })
    }

    /// Whether another server may hold the keys in a moment.
    pub(super) fn may_lead_elsewhere(&self) -> bool {
        !matches!(self.server.place, Place::At(_))
    }

    /// Opens something at the server that holds the keys. Where servers are replaced, it waits for that a while.
    pub(super) async fn open<T>(&self, how: impl Fn(Client) -> Opening<T> + Sync) -> Result<T> {
        if !self.may_lead_elsewhere() {
            return self.attempt(&self.entrances[0], self.patience, &how).await;
        }
        let begun = Instant::now();
        loop {
            let found = self.find().await?;
            match self.attempt(&found, ONE_OF_MANY.min(self.patience), &how).await {
                Err(Error::Unreachable(_)) if begun.elapsed() < self.patience => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// The first that can say where the keys are.
    async fn find(&self) -> Result<ConnectionInfo> {
        let mut whom = self.heard_of.lock().unwrap_or_else(PoisonError::into_inner).clone();
        whom.extend(self.entrances.iter().cloned());
        let mut why = None;
        for one in &whom {
            let answer = match &self.server.place {
                Place::At(_) => return Ok(one.clone()),
                Place::Sentinels { master, .. } => self.ask_sentinel(one, master).await,
                Place::Cluster(_) => self.ask_node(one).await.map(|(owner, _)| owner),
            };
            match answer {
                Ok(found) => return Ok(found),
                Err(error) => why = Some(error),
            }
        }
        Err(why.expect("there is at least one entrance"))
    }

    async fn ask_sentinel(&self, sentinel: &ConnectionInfo, master: &str) -> Result<ConnectionInfo> {
        let question = ["GET-MASTER-ADDR-BY-NAME", master];
        let answer: Option<(String, u16)> = self.ask(sentinel, redis::cmd("SENTINEL").arg(&question)).await?;
        let unknown = || Error::Invalid(format!("the sentinel {} watches no master {master:?}", sentinel.addr()));
        answer.map(|(host, port)| self.node(host, port)).ok_or_else(unknown)
    }

    /// The master of our slot, and every other node.
    async fn ask_node(&self, node: &ConnectionInfo) -> Result<(ConnectionInfo, Vec<ConnectionInfo>)> {
        let slot: i64 = self.ask(node, redis::cmd("CLUSTER").arg("KEYSLOT").arg(&self.prefix)).await?;
        let ranges: Vec<Value> = self.ask(node, redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let ranges: Vec<SlotRange> = ranges.into_iter().filter_map(SlotRange::read).collect();
        let in_full = |(host, port): &(String, u16)| match node.addr() {
            // A node that does not know its own name means the one we asked.
            ConnectionAddr::Tcp(asked, _) | ConnectionAddr::TcpTls { host: asked, .. } if host.is_empty() => {
                self.node(asked.clone(), *port)
            }
            _ => self.node(host.clone(), *port),
        };
        let ours = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
        let owner = ours.and_then(|range| range.nodes.first()).ok_or_else(|| {
            Error::Unreachable(format!("no node of the cluster serves the slot of {} ({slot})", self.prefix))
        })?;
        let mut others: Vec<&(String, u16)> = ranges.iter().flat_map(|range| &range.nodes).collect();
        others.sort();
        others.dedup();
        others.retain(|node| *node != owner);
        let (owner, others) = (in_full(owner), others.into_iter().map(in_full).collect::<Vec<_>>());
        let mut nodes = others.clone();
        nodes.push(owner.clone());
        *self.heard_of.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
        Ok((owner, others))
    }

    /// Servers that may hold the keys one day.
    pub(super) async fn successors(&self) -> Result<Vec<ConnectionInfo>> {
        let mut why = None;
        for entrance in &self.entrances {
            let found = match &self.server.place {
                Place::At(_) => return Ok(Vec::new()),
                Place::Cluster(_) => self.ask_node(entrance).await.map(|(_, others)| others),
                Place::Sentinels { master, .. } => self.ask_for_replicas(entrance, master).await,
            };
            match found {
                Ok(found) => return Ok(found),
                Err(error) => why = Some(error),
            }
        }
        Err(why.expect("there is at least one entrance"))
    }

    async fn ask_for_replicas(&self, sentinel: &ConnectionInfo, master: &str) -> Result<Vec<ConnectionInfo>> {
        type Replica = std::collections::HashMap<String, String>;
        let replicas: Vec<Replica> = self.ask(sentinel, redis::cmd("SENTINEL").arg(&["REPLICAS", master])).await?;
        // One that is down takes over from nobody.
        let is_up = |replica: &Replica| replica.get("flags").is_some_and(|flags| !flags.contains("down"));
        let address = |replica: Replica| Some((replica.get("ip")?.clone(), replica.get("port")?.parse().ok()?));
        Ok(replicas.into_iter().filter(is_up).filter_map(address).map(|(host, port)| self.node(host, port)).collect())
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, whom: &ConnectionInfo, question: &redis::Cmd) -> Result<T> {
        let ask = |client: Client| -> Opening<T> {
            let question = question.clone();
            Box::pin(async move {
                let config = super::config(ONE_OF_MANY, ONE_OF_MANY);
                let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                question.query_async(&mut connection).await
            })
        };
        self.attempt(whom, ONE_OF_MANY, &ask).await
    }

    async fn attempt<T>(
        &self,
        at: &ConnectionInfo,
        within: Duration,
        how: &(impl Fn(Client) -> Opening<T> + Sync),
    ) -> Result<T> {
        let client = self.client(at.clone())?;
        match tokio::time::timeout(within, how(client)).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) => Err(words::of(error, at, &self.server)),
            Err(_) => Err(words::no_answer(at)),
        }
    }

    fn client(&self, at: ConnectionInfo) -> Result<Client> {
        let wrong = |error: redis::RedisError| Error::Invalid(format!("redis: {error}"));
        let certificates = &self.server.certificates;
        if certificates.ca.is_none() && certificates.client.is_none() {
            return Client::open(at).map_err(wrong);
        }
        let client_tls = match &certificates.client {
            Some((cert, key)) => {
                Some(redis::ClientTlsConfig { client_cert: read("cert", cert)?, client_key: read("key", key)? })
            }
            None => None,
        };
        let root_cert = certificates.ca.as_deref().map(|ca| read("ca", ca)).transpose()?;
        Client::build_with_tls(at, redis::TlsCertificates { client_tls, root_cert }).map_err(wrong)
    }

    /// A server that was found, reached in the same manner as those of the settings.
    fn node(&self, host: String, port: u16) -> ConnectionInfo {
        let model = &self.entrances[0];
        let addr = match model.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let mut settings = model.redis_settings().clone();
        if let Place::Sentinels { .. } = self.server.place {
            // The name and password of the model are for sentinels.
            settings = in_manner(&self.server, redis::RedisConnectionInfo::default());
        }
        model.clone().set_addr(addr).set_redis_settings(settings)
    }
}

fn entrance(server: &Server, url: &str) -> Result<ConnectionInfo> {
    let info = url.into_connection_info().map_err(|_| {
        // Without the URL, which may hold a password.
        Error::Invalid("an address of redis is no redis://, rediss:// or unix:// URL".into())
    })?;
    let certificates = &server.certificates;
    let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if !tls && (certificates.ca.is_some() || certificates.client.is_some()) {
        return Err(Error::Invalid(format!("certificates are given, but {} is no rediss:// URL", info.addr())));
    }
    if !matches!(server.place, Place::At(_)) && matches!(info.addr(), ConnectionAddr::Unix(_)) {
        return Err(Error::Invalid("sentinels and nodes of a cluster are redis:// or rediss:// URLs".into()));
    }
    let given = info.redis_settings().clone();
    Ok(match server.place {
        Place::Sentinels { .. } => info.set_redis_settings(given.set_skip_set_lib_name()),
        Place::At(_) | Place::Cluster(_) => info.set_redis_settings(in_manner(server, given)),
    })
}

/// With the name, password and protocol of the settings, as far as they say.
fn in_manner(server: &Server, mut info: redis::RedisConnectionInfo) -> redis::RedisConnectionInfo {
    if let Some(username) = &server.username {
        info = info.set_username(username);
    }
    if let Some(password) = &server.password {
        info = info.set_password(password);
    }
    if server.resp3 {
        info = info.set_protocol(redis::ProtocolVersion::RESP3);
    }
    // One command less that a user must be allowed.
    info.set_skip_set_lib_name()
}

fn read(what: &str, file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| Error::Denied(format!("the {what} {} cannot be read: {error}", file.display())))
}

/// An entry of `CLUSTER SLOTS`: slots, and who serves them, the master first.
struct SlotRange {
    first: i64,
    last: i64,
    nodes: Vec<(String, u16)>,
}

impl SlotRange {
    fn read(value: Value) -> Option<Self> {
        let mut parts = value.into_sequence().ok()?.into_iter();
        let number = |value: Option<Value>| value.and_then(|value| i64::from_redis_value(value).ok());
        let (first, last) = (number(parts.next())?, number(parts.next())?);
        let node = |value: Value| {
            let mut parts = value.into_sequence().ok()?.into_iter();
            let host: Option<String> = FromRedisValue::from_redis_value(parts.next()?).ok()?;
            let port = u16::try_from(number(parts.next())?).ok()?;
            Some((host.filter(|host| host != "?").unwrap_or_default(), port))
        };
        Some(Self { first, last, nodes: parts.filter_map(node).collect() })
    }
}
