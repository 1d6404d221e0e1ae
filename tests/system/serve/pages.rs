//! Pages stay small and need nobody else, however much there is to show.

use std::time::Duration;

use protocol::log::{Level, Line};
use queue::{Queue, Settings};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::Served;
use crate::dead::hand_out;
use crate::support::{Act, Rig, let_the_second_pass, small, wait_for, wait_until};

/// A page with what it loads.
const MOST: usize = 100_000;

/// The page and what it loads are small and come from here alone; the browser is told that nothing else may be loaded.
#[track_caller]
fn assert_is_small(served: &Served, path: &str) -> String {
    let page = served.get(path).expect(200);
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    let loaded: Vec<&str> = ["src=\"", "<link rel=\"stylesheet\" href=\"", "<link rel=\"icon\" href=\""]
        .into_iter()
        .flat_map(|attribute| page.body.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()))
        .collect();
    assert!(loaded.len() >= 3 && loaded.iter().all(|file| file.starts_with("/static/")), "{path}: {loaded:?}");
    let files: usize = loaded.iter().map(|file| served.get(file).expect(200).body.len()).sum();
    assert!(page.body.len() + files < MOST, "{path}: {} bytes and {files} of what it loads", page.body.len());
    page.body
}

fn new_run(answer: &Value) -> String {
    answer["run"].as_str().unwrap().to_owned()
}

/// The page of what a push would do.
#[track_caller]
fn small_plan(served: &Served) -> String {
    let plan = served.post_form("/sync", "with=push:target").expect(303);
    let plan = plan.header("location").unwrap().to_owned();
    wait_until("the plan is made", || served.get(&plan).body.contains("What it would do"));
    assert_is_small(served, &plan)
}

/// As talkative workers would.
fn log_much(rig: &Rig, run: &str) {
    let line = |number: usize| {
        let line = Line {
            time: format!("2026-11-22T13:09:40.{number:06}Z"),
            level: Level::Info,
            channel: "sync".into(),
            process: "web1/4711".into(),
            run: Some(run.into()),
            job: Some(format!("job-{number}")),
            message: "told at length <again> ".repeat(50),
            fields: Map::new(),
        };
        (run.to_owned(), serde_json::to_string(&line).unwrap())
    };
    let lines: Vec<(String, String)> = (0..900).map(line).collect();
    let runtime = Runtime::new().unwrap();
    let (queue, _) = runtime.block_on(Queue::connect(Settings::new(rig.redis.url()))).unwrap();
    runtime.block_on(queue.add_to_log(&lines)).unwrap();
}

#[test]
fn every_page_stays_small_however_much_there_is_to_show() {
    let mut rig = Rig::new(&instances::Shape { posts: 400, ..small() });
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let served = Served::start(&mut rig);
    for row in 0..150 {
        instances::insert_raw(&rig.source(), "content/collections/posts", &format!("{{\"title\": {row}}}")).unwrap();
    }
    let gate = proxy.hold_posts(0);
    let push = rig.spawn(&["push", "target"]);
    gate.wait_for(1);
    // No worker can read these.
    (0..30).for_each(|number| hand_out(&rig, &format!("garbage-{number}"), 0, &[0xc1; 3000]));
    wait_until("all are dead", || served.get("/api/dead").body.matches("\"job\":\"garbage-").count() == 30);
    let dead = assert_is_small(&served, "/dead");
    assert!(dead.contains("garbage-") && dead.contains("dead list"), "{dead}");
    let run = rig.run(&["show", "last"]).json()["run"].as_str().unwrap().to_owned();
    assert_is_small(&served, &format!("/runs/{run}"));
    gate.open();
    assert_eq!(push.wait().expect_code(3).count("held"), 150);
    let page = assert_is_small(&served, &format!("/runs/{run}"));
    assert!(page.contains("malformed") && page.contains("show"), "{page}");
    assert_is_small(&served, &format!("/runs/{run}/undo"));

    log_much(&rig, &run);
    for path in ["/logs", &format!("/logs?run={run}"), &format!("/runs/{run}")] {
        assert!(assert_is_small(&served, path).contains("told at length"), "{path}");
    }

    for post in &instances::ids(&rig.source(), "content/collections/posts").unwrap()[..200] {
        let long = json!("a \"long\" <title> ".repeat(100));
        instances::edit_item(&rig.source(), "posts", post, |item| item["title"] = long).unwrap();
    }
    let page = small_plan(&served);
    assert!(page.matches("<details").count() > 50, "{page}");

    // Runs that nobody works on, and an agent's log that is full of refusals.
    rig.worker(0).kill();
    for size in 1..=60 {
        let asked = json!({ "direction": "push", "instance": "target", "batchSize": size });
        new_run(&served.post("/api/runs", &asked).expect(201).json());
    }
    let first = assert_is_small(&served, "/runs");
    let next = first.rsplit_once("<a href=\"/runs?").unwrap().1.split('"').next().unwrap().replace("&#38;", "&");
    assert_is_small(&served, &format!("/runs?{next}"));
    for path in ["/", "/sync", "/targets", "/targets/target/reset", "/events", "/audit?of=target", "/logs"] {
        assert_is_small(&served, path);
    }
}

#[test]
fn a_plan_of_many_large_changes_stays_small() {
    let mut rig = Rig::new(&instances::Shape { posts: 800, ..small() });
    rig.start_worker();
    let served = Served::start(&mut rig);
    rig.push().expect_code(0);
    let_the_second_pass();
    for post in &instances::ids(&rig.source(), "content/collections/posts").unwrap() {
        let long = json!("a \"long\" <title> ".repeat(20));
        let fields = (0..20).map(|number| (format!("field{number}"), long.clone()));
        instances::edit_item(&rig.source(), "posts", post, |item| item.as_object_mut().unwrap().extend(fields))
            .unwrap();
    }
    let page = small_plan(&served);
    assert!(page.contains("update 800") && page.contains("field0"), "{page}");
}

/// Pages remember what was a second ago; whom a reset throws out, and that it did, is not to be read from that.
#[test]
fn a_reset_names_who_holds_the_lock_now_and_the_next_page_says_that_it_ends() {
    let (mut rig, proxy, mut gate, mut push) = Rig::held_push(&[], |proxy| proxy.hold_posts(0), 1);
    let served = Served::start(&mut rig);
    for _ in 0..3 {
        let run = rig.redis.live_runs().remove(0);
        let page = served.get("/targets/target/reset").expect(200).body;
        assert!(page.contains(&format!("held by run {}", &run[24..])), "{run}: {page}");
        served.post_form("/targets/target/reset", "").expect(303);
        let page = served.get("/targets").expect(200).body;
        // What a worker has in its hands lets go of it a moment later.
        assert!(!page.contains("held by run") || page.contains("ending"), "{page}");
        push.wait().expect_code(6);
        gate.open();
        gate = proxy.hold_posts(0);
        push = rig.spawn(&["push", "target"]);
        gate.wait_for(1);
    }
}

#[test]
fn the_history_is_narrowed_by_direction_person_and_time_and_its_pages_keep_the_filters() {
    let mut rig = Rig::new(&small());
    let served = Served::start(&mut rig);
    let ask = |direction: &str, size: u32| {
        let asked = json!({ "direction": direction, "instance": "target", "batchSize": size });
        new_run(&served.post("/api/runs", &asked).expect(201).json())
    };
    let pushes: Vec<String> = (1..=52).map(|size| ask("push", size)).collect();
    let pull = ask("pull", 1);
    let by_a_command = rig.spawn(&["push", "target"]);
    let found = |query: &str| -> Vec<String> {
        let page = served.get(&format!("/api/runs?limit=500&{query}")).expect(200).json();
        page["runs"].as_array().unwrap().iter().map(new_run).collect()
    };
    let command = wait_for("the command's run is there", || {
        let all = found("direction=push");
        (all.len() == 53).then(|| all.into_iter().find(|run| !pushes.contains(run)))
    });
    let command = command.unwrap();
    assert_eq!(found("direction=pull"), std::slice::from_ref(&pull));
    let who = served.get(&format!("/api/runs/{command}")).json()["started_by"].as_str().unwrap().to_owned();
    let user = who.split(' ').next().unwrap().to_uppercase();
    assert_eq!(found(&format!("direction=push&by={user}%20on")), std::slice::from_ref(&command));
    assert_eq!(found("since=1%20hour%20ago").len(), 54);
    assert_eq!(found("since=1%20hour%20ago&until=1%20minute%20ago").len() + found("until=2026-01-01").len(), 0);
    served.get("/api/runs?since=soon").expect(400).says(&["soon", "7 days ago"]);

    let page = served.get("/runs?direction=push&by=&since=1+hour+ago&until=&target=&state=").expect(200).body;
    let next = page.rsplit_once("<a href=\"/runs?").unwrap().1.split('"').next().unwrap().replace("&#38;", "&");
    assert!(next.contains("direction=push") && next.contains("since=1%20hour%20ago"), "{next}");
    let older = served.get(&format!("/runs?{next}")).expect(200).body;
    let shown = |run: &String| page.contains(run.as_str()) || older.contains(run.as_str());
    assert!(pushes.iter().chain([&command]).all(shown) && !shown(&pull));
    drop(by_a_command);
}

#[test]
fn a_run_shows_how_many_items_and_how_many_bytes_it_brought_a_second() {
    let mut rig = Rig::new(&instances::Shape { posts: 400, ..small() });
    let proxy = rig.proxy("target");
    proxy.set(|request| if request.call == "write" { Act::After(Duration::from_millis(400)) } else { Act::Pass });
    rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    let served = Served::start(&mut rig);
    let asked = json!({ "direction": "push", "instance": "target", "batchSize": 20 });
    let run = new_run(&served.post("/api/runs", &asked).expect(201).json());
    let page = wait_for("both curves are there", || {
        let page = served.get(&format!("/runs/{run}")).expect(200).body;
        (page.matches("<polyline").count() == 2).then_some(page)
    });
    let said =
        |title: &str| page.split(&format!("{title}: now ")).nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(said("Items a second").trim_end_matches(',').parse::<u64>().is_ok(), "{page}");
    assert!(said("Written a second").parse::<f64>().unwrap() > 0.0 && page.contains("kB,"), "{page}");
    assert!(page.contains(" items and ") && page.contains(" a second"), "{page}");
    served.post(&format!("/api/runs/{run}/cancel"), &json!({})).expect(200);
}

/// What a browser sends of the first form on the page that is posted, as it stands.
fn as_shown(page: &str) -> String {
    let form = page.split_once("method=\"post\"").unwrap().1.split("</form>").next().unwrap();
    let attribute = |tag: &str, name: &str| {
        tag.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split('"').next()).map(str::to_owned)
    };
    let mut fields = Vec::new();
    for tag in form.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        if tag.starts_with("input ") && (!tag.contains("type=\"checkbox\"") || tag.ends_with(" checked")) {
            fields.push((attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap_or_default()));
        } else if tag.starts_with("select ") {
            fields.push((attribute(tag, "name").unwrap(), String::new()));
        } else if tag.starts_with("option ") && tag.ends_with(" selected") {
            fields.last_mut().unwrap().1 = attribute(tag, "value").unwrap();
        }
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, text)| {
            let text: String = text.replace("&#34;", "\"").bytes().map(|byte| format!("%{byte:02X}")).collect();
            format!("{name}={text}")
        })
        .collect();
    fields.join("&")
}

/// Plans what the form asks for, and runs what was planned.
fn plan_and_run(served: &Served, fields: &str) -> Value {
    let sent = served.post_form("/sync", fields).expect(303);
    let plan = sent.header("location").unwrap().to_owned();
    let made = wait_for("the plan is made", || {
        let page = served.get(&plan).expect(200).body;
        (!page.contains("Comparing both sides")).then_some(page)
    });
    assert!(made.contains("Write to target"), "{made}");
    let begun = served.post_form(&format!("{plan}/run"), "").expect(303);
    served.wait_for_end(begun.header("location").unwrap().strip_prefix("/runs/").unwrap())
}

fn created(run: &Value, of: &str) -> u64 {
    run["resources"].pointer(of).map_or(0, |of| of["created"].as_u64().unwrap())
}

#[test]
fn a_preset_fills_in_the_form_and_what_the_form_shows_is_what_the_preset_does() {
    let mut rig = Rig::new(&small());
    rig.more_config = "[preset.all]\nmodels = ['authors', 'posts']\nresources = ['models', 'content', 'assets']\nmirror = true\n\
        max-delete = '90%'\nwith-assets = true\nskip-large-files = true\nmax-file-size = '3MiB'\nstate = ['published', 'archived']\n\
        modified-since = '2020-01-01'\nfilter = { title = { '$exists' = true } }\nbatch-size = 7\nwindow = 3\nfolders = ['Folder 3 Ünïcode']\n\
        [preset.folders]\nresources = ['assets']\nfolders = true\n[preset.gone]\nmodels = ['gone']\n"
        .into();
    rig.start_worker();
    let served = Served::start(&mut rig);
    // What was asked for, without what tells two runs apart.
    let about = |rig: &mut Rig, run: &Value| {
        let run = run["run"].as_str().unwrap();
        let mut options = rig.run(&["show", run, "--receipt"]).expect_code(0).json()["about"]["options"].take();
        options["mirror"] = options["mirror"].is_object().into();
        let options = options.as_object_mut().unwrap();
        options.retain(|name, _| !["modified", "source_began"].contains(&name.as_str()));
        options.clone()
    };
    for preset in ["folders", "all"] {
        let page = served.get(&format!("/sync?with=push:target&preset={preset}")).expect(200).body;
        let shown = as_shown(&page);
        let by_form = plan_and_run(&served, &shown);
        let asked = json!({ "direction": "push", "instance": "target", "preset": preset });
        let by_name = served.wait_for_end(&new_run(&served.post("/api/runs", &asked).expect(201).json()));
        assert_eq!(about(&mut rig, &by_form), about(&mut rig, &by_name), "{shown}");
        if preset == "all" {
            assert!(page.contains("It also says: ") && page.contains("window 3"), "{page}");
            // What is unchecked is not wanted, whatever the preset says.
            let less = shown.replace("&mirror=%74%72%75%65", "").replace("&withAssets=%74%72%75%65", "");
            assert!(less.len() < shown.len() - 20, "{shown}");
            let post = &instances::ids(&rig.source(), "content/collections/posts").unwrap()[0];
            instances::edit_item(&rig.source(), "posts", post, |item| item["title"] = json!("new")).unwrap();
            let less = plan_and_run(&served, &less);
            let (less, more) = (about(&mut rig, &less), about(&mut rig, &by_form));
            assert!(more["mirror"] != less["mirror"] && more["with_assets"] != less["with_assets"], "{less:?}");
        }
    }
    let page = served.get("/sync?with=push:target&preset=gone").expect(200).body;
    assert!(page.contains("not there") && as_shown(&page).contains("models=%67%6F%6E%65"), "{page}");
    let page = served.get("/sync?with=push:target&preset=unknown").expect(200).body;
    assert!(page.contains("there are: all, folders, gone"), "{page}");
}

#[test]
fn the_form_asks_for_items_for_folders_or_files_of_assets_and_for_the_size_of_batches() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let served = Served::start(&mut rig);
    // What the form asks for is planned, and what was planned is run.
    let run = |fields: &str| plan_and_run(&served, &format!("with=push:target&{fields}"));

    let people = run("models=authors&resources=models&resources=content&batchSize=7&itemIds=");
    let authors = instances::ids(&rig.source(), "content/collections/authors").unwrap().len() as u64;
    // Some embed assets that are not there.
    let there = created(&people, "/content/authors") + people["counts"]["held"].as_u64().unwrap();
    assert_eq!((there, created(&people, "/content/posts")), (authors, 0), "{people}");
    let receipt = rig.run(&["show", people["run"].as_str().unwrap(), "--receipt"]).expect_code(0).json();
    assert_eq!(receipt["about"]["options"]["batch_size"], 7, "{receipt}");

    let folders = run("resources=assets&assetsOnly=folders&files=&maxFileSize=");
    assert!(created(&folders, "/assets/folders") > 0 && created(&folders, "/assets/assets") == 0, "{folders}");
    let asset = instances::ids(&rig.source(), "assets").unwrap()[0].clone();
    let file = run(&format!("resources=assets&files={asset}&folders="));
    assert_eq!(created(&file, "/assets/assets"), 1, "{file}");

    let posts = instances::ids(&rig.source(), "content/collections/posts").unwrap();
    run("resources=models");
    let items = run(&format!("itemModel=posts&itemIds={}%2C+{}&itemLinks=0&itemAssets=true", posts[3], posts[5]));
    assert_eq!(created(&items, "/content/posts"), 2, "{items}");
    served.post_form("/sync", "with=push:target&itemModel=posts&itemIds=a&itemLinks=many").expect(400);
    served.post_form("/sync", "with=push:target&batchSize=0").expect(400);
    served.post_form("/sync", "with=push:target&assetsOnly=folders&files=a.jpg").expect(400);
}
