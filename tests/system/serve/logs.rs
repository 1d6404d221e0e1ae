//! Log lines, as the API answers them and pages show them.

use serde_json::Value;

use super::Served;
use crate::support::{Rig, small, wait_until};

#[test]
fn log_lines_are_answered_and_shown_by_run_channel_and_level() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let served = Served::start(&mut rig);
    let lines = |query: &str| -> Vec<Value> {
        served.get(&format!("/api/logs?{query}")).expect(200).json()["lines"].as_array().unwrap().clone()
    };
    let [first, last] =
        [(); 2].map(|()| rig.run(&["push", "target"]).expect_code(0).json()["run"].as_str().unwrap().to_owned());
    for run in [&first, &last] {
        let ends = || lines(&format!("channel=sync&run={run}&limit=5000"));
        wait_until("the last line is there", || ends().first().is_some_and(|line| line["job"] == "close"));
        assert!(ends().len() > 5 && ends().iter().all(|line| line["run"] == **run), "{:#?}", ends());
        assert_eq!(ends().last().unwrap()["message"], "run submitted");
    }
    assert_eq!(lines("run=last&limit=2").len(), 2);
    assert!(lines("channel=sync&level=info").len() > 10);
    assert!(lines(&format!("run={first}&level=error")).is_empty());
    served.get("/api/logs?channel=none").expect(400).says(&["none", "sync"]);
    served.get("/api/logs?run=nobody").expect(404).says(&["nobody"]);
    served.get("/api/logs?limit=0").expect(400);
    served.get("/api/logs?level=loud").expect(400);

    let page = served.get(&format!("/logs?channel=sync&level=&run={first}")).expect(200).body;
    let rows = page.split_once("<tbody>").unwrap().1;
    assert!(rows.contains("job done") && rows.contains("run submitted") && rows.contains(&first), "{page}");
    assert!(!rows.contains(&last), "another run's lines are shown");
    assert!(page.len() < 100_000, "{}", page.len());
    assert!(!served.get("/logs?level=error&run=last").expect(200).body.contains("job done"));
    let page = served.get(&format!("/runs/{last}")).expect(200).body;
    assert!(page.contains("job done") && page.contains(&format!("/logs?run={last}")), "{page}");
    assert!(page.len() < 100_000, "{}", page.len());
}
