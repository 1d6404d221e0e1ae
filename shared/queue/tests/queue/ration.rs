//! A rate that workers of a target share.

use std::time::Duration;

use crate::redis_server::TestRedis;

#[tokio::test]
async fn whoever_takes_of_a_rate_waits_for_those_who_took_before() {
    let redis = TestRedis::start().await;
    let (one, other) = (redis.queue().await, redis.queue().await);
    assert_eq!(one.ration("b", 500, 10).await.unwrap(), Duration::ZERO);
    let wait = other.ration("b", 10, 10).await.unwrap();
    assert!(wait > Duration::from_secs(40) && wait <= Duration::from_secs(50), "{wait:?}");
    // In bytes or in items: what is taken is time.
    let next = one.ration("b", 1_000_000, 1_000_000).await.unwrap();
    assert!(next > Duration::from_secs(41) && next <= Duration::from_secs(51), "{next:?}");
    assert_eq!(one.ration("c", 10, 10).await.unwrap(), Duration::ZERO);
}

#[tokio::test]
async fn many_small_amounts_are_as_long_as_one_large_one() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.ration("b", 100_000, 10_000).await.unwrap();
    for _ in 0..100 {
        queue.ration("b", 1, 10_000_000).await.unwrap();
        queue.ration("b", 50, 10_000).await.unwrap();
    }
    let wait = queue.ration("b", 1, 10_000).await.unwrap();
    assert!(wait > Duration::from_millis(9_500) && wait <= Duration::from_millis(10_501), "{wait:?}");
}
