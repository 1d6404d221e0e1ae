//! Everything a Redis holds, read key by key and without the library. Two that are equal: nothing was written in between,
//! but the time, which every script notes.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Value, from_redis_value};

pub type Bytes = Vec<u8>;

/// What a key holds. Hashes and sets are sorted, for Redis may change their order without a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Held {
    Text(Bytes),
    Hash(BTreeMap<String, Bytes>),
    List(Vec<Bytes>),
    Set(Vec<String>),
    Sorted(Vec<(Bytes, f64)>),
    Stream {
        entries: Vec<Entry>,
        pending: Vec<Pending>,
        /// As `DUMP` answers: with consumers, and with the time of each delivery.
        dump: Bytes,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: String,
    pub fields: BTreeMap<String, Bytes>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    pub entry: String,
    pub consumer: String,
    pub deliveries: u64,
    /// For longer than half an hour.
    pub idle: bool,
}

/// By name; with what each holds, whether it expires.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawKeys(pub BTreeMap<String, (Held, bool)>);

fn of<T: FromRedisValue>(value: Value) -> T {
    from_redis_value(value).expect("the type that was asked for")
}

/// A flat list of names and values.
fn pairs(value: Value) -> Vec<(Bytes, Bytes)> {
    let flat: Vec<Bytes> = of(value);
    flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl RawKeys {
    pub async fn read(connection: &mut MultiplexedConnection) -> Self {
        let mut names: Vec<String> = redis::cmd("KEYS").arg("*").query_async(connection).await.expect("KEYS");
        names.retain(|name| name != "{cs}:clock");
        names.sort();
        if names.is_empty() {
            return Self::default();
        }
        let mut asked = redis::pipe();
        for name in &names {
            asked.cmd("TYPE").arg(name).cmd("PTTL").arg(name);
        }
        let kinds: Vec<(String, i64)> = asked
            .query_async::<Vec<Value>>(connection)
            .await
            .expect("TYPE and PTTL")
            .chunks_exact(2)
            .map(|pair| (of(pair[0].clone()), of(pair[1].clone())))
            .collect();
        let mut asked = redis::pipe();
        for (name, (kind, _)) in names.iter().zip(&kinds) {
            match kind.as_str() {
                "string" => asked.cmd("GET").arg(name),
                "hash" => asked.cmd("HGETALL").arg(name),
                "list" => asked.cmd("LRANGE").arg(name).arg(&["0", "-1"]),
                "set" => asked.cmd("SMEMBERS").arg(name),
                "zset" => asked.cmd("ZRANGE").arg(name).arg(&["0", "-1", "WITHSCORES"]),
                "stream" => {
                    asked.cmd("XRANGE").arg(name).arg(&["-", "+"]);
                    asked.cmd("DUMP").arg(name);
                    // The log of events has no group.
                    if name.ends_with(":jobs") {
                        asked.cmd("XPENDING").arg(name).arg(&["workers", "-", "+", "10000"]);
                    }
                    &mut asked
                }
                other => panic!("{name} is a {other}"),
            };
        }
        let mut answers = asked.query_async::<Vec<Value>>(connection).await.expect("all values").into_iter();
        let mut next = || answers.next().expect("an answer to each question");
        let mut keys = BTreeMap::new();
        for (name, (kind, expires)) in names.into_iter().zip(kinds) {
            let held = match kind.as_str() {
                "string" => Held::Text(of(next())),
                "hash" => Held::Hash(pairs(next()).into_iter().map(|(field, value)| (text(&field), value)).collect()),
                "list" => Held::List(of(next())),
                "set" => {
                    let mut members: Vec<String> = of(next());
                    members.sort();
                    Held::Set(members)
                }
                "zset" => {
                    let score = |bytes: &[u8]| text(bytes).parse().expect("a score");
                    Held::Sorted(pairs(next()).into_iter().map(|(member, by)| (member, score(&by))).collect())
                }
                _ => {
                    let entries: Vec<(String, Vec<Bytes>)> = of(next());
                    let dump = of(next());
                    let pending: Vec<(String, String, u64, u64)> =
                        if name.ends_with(":jobs") { of(next()) } else { Vec::new() };
                    Held::Stream {
                        entries: entries.into_iter().map(Entry::new).collect(),
                        dump,
                        pending: pending.into_iter().map(Pending::new).collect(),
                    }
                }
            };
            keys.insert(name, (held, expires >= 0));
        }
        Self(keys)
    }

    pub fn hash(&self, name: &str) -> BTreeMap<String, String> {
        match self.0.get(name) {
            Some((Held::Hash(fields), _)) => fields.iter().map(|(field, value)| (field.clone(), text(value))).collect(),
            None => BTreeMap::new(),
            Some(other) => panic!("{name} is {other:?}"),
        }
    }

    pub fn list(&self, name: &str) -> &[Bytes] {
        match self.0.get(name) {
            Some((Held::List(values), _)) => values,
            None => &[],
            Some(other) => panic!("{name} is {other:?}"),
        }
    }

    pub fn sorted(&self, name: &str) -> &[(Bytes, f64)] {
        match self.0.get(name) {
            Some((Held::Sorted(members), _)) => members,
            None => &[],
            Some(other) => panic!("{name} is {other:?}"),
        }
    }

    pub fn stream(&self, name: &str) -> (&[Entry], &[Pending]) {
        match self.0.get(name) {
            Some((Held::Stream { entries, pending, .. }, _)) => (entries, pending),
            None => (&[], &[]),
            Some(other) => panic!("{name} is {other:?}"),
        }
    }

    pub fn expires(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|(_, expires)| *expires)
    }

    /// The keys that are not as in `other`, in words; empty when nothing differs.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| format!("{name}: {:?} and {:?}", self.0.get(name), other.0.get(name)))
            .collect()
    }
}

impl Entry {
    fn new((id, flat): (String, Vec<Bytes>)) -> Self {
        let mut fields = BTreeMap::new();
        for pair in flat.chunks_exact(2) {
            let name = text(&pair[0]);
            // Of a job: the turn is the name of its field.
            if let [run, lease, fence] = name.splitn(3, '\n').collect::<Vec<_>>()[..] {
                for (part, value) in [("run", run), ("lease", lease), ("fence", fence)] {
                    fields.insert(part.into(), value.into());
                }
                fields.insert("job".into(), pair[1].clone());
            } else {
                fields.insert(name, pair[1].clone());
            }
        }
        Self { id, fields }
    }

    pub fn text(&self, field: &str) -> String {
        self.fields.get(field).map(|value| text(value)).unwrap_or_default()
    }
}

impl Pending {
    fn new((entry, consumer, idle_ms, deliveries): (String, String, u64, u64)) -> Self {
        Self { entry, consumer, deliveries, idle: idle_ms > 1_800_000 }
    }
}
