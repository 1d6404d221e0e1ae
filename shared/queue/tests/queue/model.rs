//! Random sequences of everything that can happen to a queue, held against a ledger that knows what should be.
//!
//! After each step all keys are read raw, without the library, and `laws` checks the invariants. A case that fails is shrunk:
//! each begins with an empty Redis. `PROPTEST_CASES=2000 cargo test -p cockpit-sync-queue model` runs more of them.

mod laws;
mod ledger;
mod steps;
mod world;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::world::World;
use crate::redis_server::TestRedis;

/// As many as take about 20 seconds without optimisation.
const CASES: u32 = 40;

#[test]
fn whatever_happens_the_queue_does_what_its_ledger_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (redis, queue) = runtime.block_on(async {
        let redis = TestRedis::start().await;
        let queue = redis.queue_with(world::settings(&redis)).await;
        (redis, queue)
    });
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { CASES };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let ended = TestRunner::new(config).run(&steps::steps(), |steps| {
        let case = runtime.block_on(async {
            let mut world = World::new(&redis, &queue).await;
            for step in &steps {
                world.take(step).await.map_err(|broken| format!("{broken}\nat {step:?}"))?;
            }
            world.come_to_an_end().await
        });
        case.map_err(TestCaseError::fail)
    });
    match ended {
        Ok(()) => {}
        Err(TestError::Fail(broken, steps)) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("{broken}\nsteps:\n{}", steps.join("\n"))
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
