//! What is asked of a server before the queue runs on it: version, role, memory policy, persistence, permissions.

use futures_util::future::join_all;
use redis::InfoDict;

use super::Queue;
use crate::scripts::PERMITTED;
use crate::server::Place;
use crate::{Error, Result};

/// Refuses what is dangerous; what is only unwise, or cannot be seen, comes back as sentences.
pub(super) async fn server(queue: &Queue) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut connection = queue.connection().await?;
    let asked = redis::cmd("INFO").query_async::<InfoDict>(&mut *connection).await;
    drop(connection);
    match asked.map_err(Error::from) {
        Ok(info) => judge(&info, &queue.route.server.place, true)?.map(|warning| warnings.push(warning)).unwrap_or(()),
        Err(Error::Denied(_)) => warnings.push(
            "redis does not let this user run INFO: its version, role, maxmemory-policy and persistence could not be \
             checked"
                .into(),
        ),
        Err(error) => return Err(error),
    }
    let lacking: Vec<String> = queue.call(&PERMITTED, &()).await?;
    if !lacking.is_empty() {
        // A script that is stopped half way keeps what it has written so far: I1 would be gone.
        return Err(Error::Denied(format!(
            "the user may not use {} on keys and channels that begin with {}; docs/redis.md has the whole list",
            lacking.join(", "),
            queue.keys.prefix
        )));
    }
    warnings.extend(successors(queue).await);
    Ok(warnings)
}

/// A replica is judged before it is promoted: afterwards would be too late.
async fn successors(queue: &Queue) -> Vec<String> {
    let successors = match queue.route.successors().await {
        Ok(successors) => successors,
        Err(error) => return vec![format!("who would take over from this redis could not be asked: {error}")],
    };
    let judgements = successors.iter().map(async |at| {
        let place = at.addr();
        match queue.route.ask::<InfoDict>(at, &redis::cmd("INFO")).await {
            Ok(info) => match judge(&info, &queue.route.server.place, false) {
                Ok(warning) => warning.map(|warning| format!("{place} may take over: {warning}")),
                Err(error) => Some(format!("{place} may take over, but {error}")),
            },
            Err(error) => Some(format!("{place} may take over, but could not be checked: {error}")),
        }
    });
    join_all(judgements).await.into_iter().flatten().collect()
}

/// `holds_keys`: it is the server that is used now, not one that may take over.
fn judge(info: &InfoDict, place: &Place, holds_keys: bool) -> Result<Option<String>> {
    let text = |name: &str| info.get::<String>(name).unwrap_or_default();
    let unsuitable = |why: &str| Err(Error::Unsuitable(why.into()));
    let version = text("redis_version");
    if version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 7) {
        return unsuitable(&format!("version {version}, but 7.0 or later is needed"));
    }
    match (place, text("redis_mode").as_str()) {
        (_, "sentinel") => return unsuitable("it is a sentinel; name it in `sentinels`, with the `master` it watches"),
        (Place::At(_) | Place::Sentinels { .. }, "cluster") => {
            return unsuitable("it is a node of a cluster; name some nodes in `cluster`");
        }
        _ => {}
    }
    if holds_keys && text("role") != "master" {
        if let Place::At(_) = place {
            return unsuitable("it is a replica; name the master");
        }
        return Err(Error::Unreachable("it is a replica now; another server is about to be the master".into()));
    }
    let policy = text("maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        return unsuitable(&format!("maxmemory-policy {policy} would throw jobs away; set noeviction"));
    }
    if text("aof_enabled") != "1" {
        // A snapshot alone also loses minutes of work, so it is said as well.
        return Ok(Some("redis keeps no append-only file: when it restarts, waiting and running runs are lost and must be started again".into()));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(info: &str) -> Result<Option<String>> {
        let sound =
            "redis_version:7.0.15\nredis_mode:standalone\nrole:master\nmaxmemory_policy:noeviction\naof_enabled:1\n";
        judge(&InfoDict::new(&format!("{sound}{info}")), &Place::default(), true)
    }

    #[test]
    fn what_is_dangerous_is_refused_and_what_is_unwise_is_said() {
        assert!(matches!(judged(""), Ok(None)));
        assert!(matches!(judged("aof_enabled:0"), Ok(Some(_))));
        let refused = [
            "redis_version:6.2.14",
            "redis_version:",
            "redis_mode:cluster",
            "redis_mode:sentinel",
            "role:slave",
            "maxmemory_policy:allkeys-lru",
        ];
        for line in refused {
            assert!(matches!(judged(line), Err(Error::Unsuitable(_))), "{line}");
        }
    }
}
