//! The Lua scripts: put together here, called from here.
//!
//! Lua cannot import, so each script is a prelude (keys, shared functions) and its own file from `lua/`.

mod lua_bytes;

use std::sync::LazyLock;

use redis::{FromRedisValue, Script};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Queue, Result, Settings};

const PRELUDE: [&str; 13] = [
    include_str!("../lua/keys.lua"),
    include_str!("../lua/shared/call.lua"),
    include_str!("../lua/shared/clock.lua"),
    include_str!("../lua/shared/item.lua"),
    include_str!("../lua/shared/publish.lua"),
    include_str!("../lua/shared/listeners.lua"),
    include_str!("../lua/shared/pace.lua"),
    include_str!("../lua/shared/feed.lua"),
    include_str!("../lua/shared/take.lua"),
    include_str!("../lua/shared/workers.lua"),
    include_str!("../lua/shared/line.lua"),
    include_str!("../lua/shared/lease.lua"),
    include_str!("../lua/shared/finish.lua"),
];

/// Refused as a whole when Redis is over `maxmemory`.
const GROWS: &str = "#!lua";
/// Runs also when Redis is over `maxmemory`: it makes room, or grows by no more than a window of jobs.
const SHRINKS: &str = "#!lua flags=allow-oom";
const READS: &str = "#!lua flags=no-writes";

fn assemble(flags: &str, own: &str) -> Script {
    let mut code = format!("{flags}\nlocal READS_ONLY = {}\n", flags == READS);
    for part in PRELUDE {
        code.push_str(part);
        code.push('\n');
    }
    code.push_str(own);
    Script::new(&code)
}

/// What only these two need is no part of the prelude: every call pays for that.
const SUBMIT_LUA: &str = concat!(include_str!("../lua/shared/schedule.lua"), include_str!("../lua/submit.lua"));
const PASS_LUA: &str = concat!(include_str!("../lua/shared/schedule.lua"), include_str!("../lua/pass.lua"));

pub(crate) static SUBMIT: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, SUBMIT_LUA));
pub(crate) static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/announce.lua")));
pub(crate) static PREPARE: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/prepare.lua")));
pub(crate) static SPLIT: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/split.lua")));
pub(crate) static SETTLE: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/settle.lua")));
pub(crate) static EXTEND: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/extend.lua")));
pub(crate) static RECLAIM: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/reclaim.lua")));
pub(crate) static TICK: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/tick.lua")));
pub(crate) static LEAVE: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/leave.lua")));
pub(crate) static PAUSE: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/pause.lua")));
pub(crate) static RESUME: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/resume.lua")));
pub(crate) static CANCEL: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/cancel.lua")));
pub(crate) static UNLOCK: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/unlock.lua")));
pub(crate) static DEAD: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/dead.lua")));
pub(crate) static RATION: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/ration.lua")));
pub(crate) static PUT_OFF: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/put_off.lua")));
pub(crate) static TAKE_DUE: LazyLock<Script> = LazyLock::new(|| assemble(SHRINKS, include_str!("../lua/take_due.lua")));
pub(crate) static KEEP: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/keep.lua")));
pub(crate) static HISTORY: LazyLock<Script> = LazyLock::new(|| assemble(READS, include_str!("../lua/history.lua")));
pub(crate) static AUDIT: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/audit.lua")));
pub(crate) static LOG: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/log.lua")));
pub(crate) static OBSERVE: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, include_str!("../lua/observe.lua")));
pub(crate) static PASS: LazyLock<Script> = LazyLock::new(|| assemble(GROWS, PASS_LUA));
pub(crate) static VIEW: LazyLock<Script> = LazyLock::new(|| assemble(READS, include_str!("../lua/view.lua")));

/// The only one that stands alone.
pub(crate) static PERMITTED: LazyLock<Script> =
    LazyLock::new(|| Script::new(&format!("{READS}\n{}", include_str!("../lua/permitted.lua"))));

/// What every script is told about the deployment.
#[derive(Serialize)]
struct Told {
    lease: u64,
    retention: u64,
    close_within: u64,
    yield_within: u64,
    event_log: u32,
    notes: u32,
}

/// How many notes of a run are kept; the total stays exact.
const NOTES_KEPT: u32 = 10_000;

pub(crate) fn told(settings: &Settings) -> Vec<u8> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    pack(&Told {
        lease: millis(settings.lease),
        retention: millis(settings.retention),
        close_within: millis(settings.close_within),
        yield_within: millis(settings.yield_within),
        event_log: settings.event_log,
        notes: NOTES_KEPT,
    })
}

fn pack(value: &impl Serialize) -> Vec<u8> {
    let mut packed = rmp_serde::to_vec_named(value).expect("plain structs of strings and numbers always encode");
    lua_bytes::bin_to_str(&mut packed);
    packed
}

/// Reads an answer given as MessagePack.
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| Error::Answer(error.to_string()))
}

impl Queue {
    /// Runs one transition on a connection from the pool.
    pub(crate) async fn call<T: FromRedisValue>(&self, script: &Script, args: &impl Serialize) -> Result<T> {
        let mut connection = self.connection().await?;
        self.call_on(&mut *connection, script, args).await
    }

    /// Runs one transition on a connection the caller keeps.
    pub(crate) async fn call_on<T: FromRedisValue>(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
        script: &Script,
        args: &impl Serialize,
    ) -> Result<T> {
        let random = format!("{:016x}", rand::random::<u64>());
        let mut invocation = script.key(&self.keys.prefix);
        invocation.arg(self.told.as_slice()).arg(random).arg(pack(args)).arg(self.clock.expected());
        Ok(invocation.invoke_async(connection).await?)
    }
}

#[cfg(test)]
mod tests {
    /// The commands that a script calls, as `call('NAME'` or `queue.in_pieces('NAME'`.
    fn commands(lua: &str) -> impl Iterator<Item = &str> {
        let after = lua.split("call('").skip(1).chain(lua.split("in_pieces('").skip(1));
        after.filter_map(|rest| rest.split('\'').next())
    }

    #[test]
    fn whatever_scripts_call_is_asked_for_before() {
        let permitted = include_str!("../lua/permitted.lua");
        let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
        let mut known = 0;
        for folder in [own.join("shared"), own] {
            for entry in std::fs::read_dir(folder).expect("the scripts are here") {
                let path = entry.expect("it can be listed").path();
                let Ok(lua) = std::fs::read_to_string(&path) else { continue };
                for command in commands(&lua) {
                    assert!(
                        permitted.contains(&format!("{{ '{command}'")),
                        "{} calls {command}: add it to permitted.lua and docs/redis.md",
                        path.display()
                    );
                    known += 1;
                }
            }
        }
        assert!(known > 100, "{known}");
    }
}
