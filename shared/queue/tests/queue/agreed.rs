//! What processes of a deployment agree on besides runs: kept values, things put off, pages of runs.

use std::collections::BTreeSet;
use std::time::Duration;

use queue::{NewRun, Queue, RunState, WantedRuns};

use crate::redis_server::TestRedis;
use crate::worker::until;

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn of_many_who_keep_a_value_first_all_learn_the_same_and_it_goes_when_its_time_is_over() {
    let redis = TestRedis::start().await;
    let (one, other) = (redis.queue().await, redis.queue().await);
    assert_eq!(one.kept("a").await.unwrap(), None);
    let (first, second) =
        tokio::join!(one.keep_first("a", b"\x00one", LONG), other.keep_first("a", b"\x00other", LONG));
    assert_eq!(first.unwrap(), second.unwrap());
    other.keep("a", b"new", LONG).await.unwrap();
    assert_eq!(one.keep_first("a", b"x", LONG).await.unwrap(), b"new");
    assert_eq!(one.kept("a").await.unwrap().unwrap(), b"new");
    one.forget("a").await.unwrap();
    assert_eq!(other.kept("a").await.unwrap(), None);
    one.keep("b", b"short", Duration::from_millis(20)).await.unwrap();
    until("it has gone", || async { one.kept("b").await.unwrap().is_none().then_some(()) }).await;
}

/// What is due now, without waiting.
async fn due(queue: &Queue, within: Duration) -> Vec<queue::Due> {
    queue.take_due(10, within).await.unwrap()
}

#[tokio::test]
async fn what_is_put_off_is_taken_once_and_again_under_its_id_when_nobody_did_it() {
    let redis = TestRedis::start().await;
    let (one, other) = (redis.queue().await, redis.queue().await);
    assert!(one.put_off("later", LONG).await.unwrap());
    assert!(!other.put_off("later", Duration::ZERO).await.unwrap(), "its time does not change");
    assert_eq!(due(&one, LONG).await, []);

    assert!(one.put_off("a b", Duration::ZERO).await.unwrap());
    let (mine, theirs) = (due(&one, Duration::from_millis(20)).await, due(&other, LONG).await);
    assert_eq!((mine.len(), theirs.len()), (1, 0));
    assert_eq!(mine[0].what, "a b");
    // Asked for anew while it is done: a new thing to do.
    assert!(other.put_off("a b", Duration::ZERO).await.unwrap());
    // Nobody did the first one in time: it is given out again, as the same.
    let mut taken = Vec::new();
    while taken.len() < 2 {
        taken.extend(due(&other, LONG).await);
    }
    let ids: BTreeSet<&str> = taken.iter().map(|due| due.id.as_str()).collect();
    assert!(ids.len() == 2 && ids.contains(mine[0].id.as_str()), "{taken:?}");
    for due in &taken {
        other.did(due).await.unwrap();
    }
    assert!(other.put_off("a b", Duration::ZERO).await.unwrap());
    assert_eq!(due(&one, LONG).await.len(), 1);
}

#[tokio::test]
async fn pages_of_runs_together_are_all_runs_newest_first() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut newest_first = Vec::new();
    for number in 0..25 {
        let mut run = NewRun::new("a", if number % 5 == 0 { "c" } else { "b" });
        run.labels.insert("by".into(), if number % 3 == 0 { "Anna on web1" } else { "bert" }.into());
        queue.submit(&run).await.unwrap();
        newest_first.insert(0, run.id);
    }
    // The oldest fifteen are over: they come behind those that are not, the last one that ended first.
    let over: Vec<String> = newest_first.drain(10..).collect();
    for run in over.iter().rev() {
        queue.cancel(run, "test").await.unwrap();
    }
    newest_first.extend(over);

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let wanted = WantedRuns { after: after.as_deref(), limit: 4, ..WantedRuns::default() };
        let page = queue.page_of_runs(&wanted).await.unwrap();
        assert!(page.runs.len() <= 4);
        seen.extend(page.runs.into_iter().map(|run| run.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let as_before: Vec<String> = queue.runs(100).await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(seen, as_before);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>(), newest_first.iter().collect());

    let cancelled = [RunState::Cancelled];
    let of_c = WantedRuns { target: Some("c"), states: Some(&cancelled), limit: 100, ..WantedRuns::default() };
    let page = queue.page_of_runs(&of_c).await.unwrap();
    assert_eq!((page.runs.len(), page.next), (3, None));
    assert!(page.runs.iter().all(|run| run.target == "c" && run.state == RunState::Cancelled));
    let count = async |wanted: WantedRuns<'_>| {
        queue.page_of_runs(&WantedRuns { limit: 100, ..wanted }).await.unwrap().runs.len()
    };
    let by = |labels| WantedRuns { labels, ..WantedRuns::default() };
    assert_eq!(count(by(&[("by", "ANNA")])).await, count(by(&[("by", "anna on web1")])).await);
    assert_eq!((count(by(&[("by", "anna")])).await, count(by(&[("by", "ann.")])).await), (9, 0));
    assert_eq!(count(by(&[("by", "anna"), ("by", "bert")])).await + count(by(&[("nothing", "a")])).await, 0);
    let times: BTreeSet<u64> = queue.runs(100).await.unwrap().into_iter().map(|run| run.created).collect();
    let middle = *times.iter().nth(times.len() / 2).unwrap();
    let since = count(WantedRuns { since: Some(middle), ..WantedRuns::default() }).await;
    let until = count(WantedRuns { until: Some(middle), ..WantedRuns::default() }).await;
    assert!(since > 0 && until > 0 && since + until == as_before.len(), "{since} and {until}");
    let gone = WantedRuns { after: Some("gone"), limit: 4, ..WantedRuns::default() };
    assert_eq!(queue.page_of_runs(&gone).await.unwrap().runs, []);
}
