//! What is done when something happens: brought once, however long a receiver is down, and never in the way of a sync.

use std::path::Path;

use serde_json::Value;
use servers::{MailServer, Receiver, free_port};

use crate::support::{Output, Process, Rig, small, wait_until};

/// Starts what brings them.
fn serve(rig: &mut Rig) -> Process {
    let process = rig.spawn(&["serve", "--listen", "127.0.0.1:0"]);
    wait_until("it brings notifications", || {
        let reports = rig.run(&["notifications"]).expect_code(0).json();
        reports.as_array().unwrap().iter().any(|report| report["served"] == true)
    });
    process
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn report(rig: &mut Rig, name: &str) -> Value {
    let reports = rig.run(&["notifications"]).expect_code(0).json();
    reports.as_array().unwrap().iter().find(|report| report["name"] == name).cloned().unwrap_or_default()
}

/// Everything that lies in Redis, as bytes.
fn all_of_redis(rig: &Rig) -> Vec<u8> {
    let mut connection = redis::Client::open(rig.redis.url()).unwrap().get_connection().unwrap();
    let _: () = redis::cmd("CONFIG").arg(&["SET", "rdbcompression", "no"]).query(&mut connection).unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let dump = |key: &String| redis::cmd("DUMP").arg(key).query::<Vec<u8>>(&mut connection).unwrap();
    keys.iter().flat_map(dump).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_is_down_at_first_is_notified_once_when_it_is_up_and_the_push_did_not_wait() {
    let mut rig = Rig::new(&small());
    let (mail, hook) = (free_port(), free_port());
    let file = rig.folder.path().join("events");
    rig.more_config = format!(
        "[[on]]\nname = 'mail'\nevent = 'sync.*.finished'\ntarget = 'target'\n[on.mail]\n\
         server = 'smtp://anna:hushhush@127.0.0.1:{mail}'\nfrom = 'a@b.example'\nto = 'c@d.example'\n\
         [[on]]\nname = 'hook'\nevent = '*'\nstate = 'finished*'\n\
         webhook = {{ url = 'http://127.0.0.1:{hook}/hushhush', secret = 'hushhush' }}\n\
         [[on]]\nname = 'exec'\nevent = '*'\nexec = {{ run = ['sh', '-c', 'cat >> \"$0\"', {file:?}] }}\n\
         [[on]]\nname = 'other'\nevent = '*'\ntarget = 'elsewhere'\nlog = 'error'\n"
    );
    let mut first = serve(&mut rig);
    rig.start_worker();
    let push = rig.push().expect_code(0).json();
    wait_until("the program was told of start and end", || lines(&file).len() == 2);
    let names: Vec<Value> = lines(&file).iter().map(|event| event["event"].clone()).collect();
    assert!(names.contains(&"sync.run.started".into()) && names.contains(&"sync.push.finished".into()), "{names:?}");
    for name in ["mail", "hook"] {
        wait_until("it was tried", || report(&mut rig, name)["last_error"].is_string());
        assert_eq!(report(&mut rig, name)["open"], 1, "{name} waits for its receiver");
    }
    // Nothing hangs on the process that tried it.
    first.kill();
    let second = serve(&mut rig);

    let (mail, hook) = (MailServer::start(mail), Receiver::start(hook));
    wait_until("all is brought", || {
        ["mail", "hook", "exec", "other"].iter().all(|name| report(&mut rig, name)["open"] == 0)
    });
    assert_eq!((mail.mails().len(), hook.calls().len(), lines(&file).len()), (1, 1, 2));
    assert_eq!(mail.mails()[0].header("subject"), Some("[cockpit-sync] push source -> target: finished"));
    let told: Value = serde_json::from_str(&hook.calls()[0].body).unwrap();
    assert_eq!((&told["event"], &told["run"]), (&"sync.push.finished".into(), &push["run"]));
    assert!(hook.calls()[0].headers["webhook-signature"].starts_with("v1,"));
    assert_eq!(report(&mut rig, "hook")["brought"], 1);
    // They are no syncs.
    assert_eq!(rig.run(&["runs"]).json().as_array().map(Vec::len), Some(1));
    assert_eq!(rig.run(&["status"]).json()["workers"], 1);

    let redis = all_of_redis(&rig);
    assert!(contains(&redis, "sync.push.finished") && !contains(&redis, "hushhush"), "a secret lies in Redis");
    let logs = first.stderr() + &second.stderr();
    assert!(logs.contains("not notified") && !logs.contains("hushhush"), "{logs}");
}

#[test]
fn whoever_asks_for_failure_held_items_drift_or_success_is_told_of_that_alone() {
    let mut rig = Rig::new(&small());
    let told = |rig: &Rig, name: &str| lines(&rig.folder.path().join(name));
    for (name, wants) in [
        ("failed", "event = 'sync.run.failed'"),
        ("held", "event = 'sync.*.finished'\nstate = 'finished_held'"),
        ("drift", "event = ['sync.drift.*', 'sync.schedule.missed']\ntarget = ['elsewhere', 'tar*']"),
        ("finished", "event = 'sync.push.*'\nstate = 'finished'"),
        ("nobody", "event = '*'\ntarget = 'elsewhere'"),
    ] {
        let file = rig.folder.path().join(name);
        rig.more_config +=
            &format!("[[on]]\nname = '{name}'\n{wants}\nexec = {{ run = ['sh', '-c', 'cat >> \"$0\"', {file:?}] }}\n");
    }
    rig.more_config += "[command.own]\nrun = ['cat']\n[transform.content.authors]\ncommand = 'own'\n";
    let _serving = serve(&mut rig);
    rig.start_worker();
    let run = |push: Output| push.json()["run"].clone();
    rig.run(&["drift", "target"]).expect_code(7);
    let held = run(rig.run(&["push", "target", "--resources", "models,content"]).expect_code(3));
    let finished = run(rig.push().expect_code(0));
    // The worker keeps the config it was started with, and refuses another.
    rig.more_config = rig.more_config.replace("'cat']\n[transform", "'cat', '-']\n[transform");
    let failed = run(rig.push().expect_code(1));
    wait_until("all is brought", || {
        let of = ["failed", "held", "drift", "finished"];
        of.iter().all(|name| report(&mut rig, name)["open"] == 0 && report(&mut rig, name)["brought"] == 1)
    });
    let runs = |name: &str| told(&rig, name).iter().map(|event| event["run"].clone()).collect::<Vec<_>>();
    assert_eq!((runs("failed"), runs("held"), runs("finished")), (vec![failed], vec![held], vec![finished]));
    let drift: Vec<_> = told(&rig, "drift").iter().map(|event| event["event"].clone()).collect();
    assert_eq!((drift, runs("nobody")), (vec![Value::from("sync.drift.found")], vec![]));
}

#[test]
fn what_cannot_be_brought_is_dead_and_goes_back_to_work_by_hand() {
    let mut rig = Rig::new(&small());
    let port = free_port();
    let mails = MailServer::start(port);
    rig.more_config = format!(
        "[[on]]\nname = 'mail'\nevent = 'sync.push.finished'\n[on.mail]\nserver = 'smtp://127.0.0.1:{port}'\n\
         from = 'a@b.example'\nto = 'nobody@d.example'\n"
    );
    let mut first = serve(&mut rig);
    rig.start_worker();
    rig.push().expect_code(0);
    wait_until("it is dead", || report(&mut rig, "mail")["dead"] == 1);
    let dead = rig.run(&["dead", "list"]).expect_code(0).json();
    assert_eq!(dead[0]["payload"]["event"], "sync.push.finished");
    assert!(dead[0]["error"].as_str().unwrap().contains("no such mailbox"), "{dead}");

    // The config is set right, and it is tried once more.
    first.kill();
    rig.more_config = rig.more_config.replace("nobody@", "ben@");
    let second = crate::serve::Served::start(&mut rig);
    assert_eq!(second.get("/api/dead").expect(200).json()["dead"], dead);
    let page = second.get("/dead").expect(200).body;
    assert!(page.contains("no such mailbox") && page.contains("Notification on:mail"), "{page}");
    assert!(page.contains("&#34;event&#34;: &#34;sync.push.finished&#34;"), "its payload is not decoded on {page}");
    let flagged = |page: &str| page.contains("notification mail") && page.contains("1 given up: ");
    wait_until("the overview says so", || flagged(&second.get("/").expect(200).body));
    let job = format!("job={}", dead[0]["job"].as_str().unwrap());
    assert_eq!(second.post_form("/runs/on:mail/dead/retry", &job).expect(303).header("location"), Some("/dead"));
    wait_until("it is brought", || mails.mails().len() == 1);
    assert_eq!(mails.mails()[0].to, ["ben@d.example"]);
    wait_until("the overview says nothing any more", || !flagged(&second.get("/").expect(200).body));
}

#[test]
fn a_mistake_in_an_entry_is_named_before_anything_is_done() {
    let mut rig = Rig::new(&small());
    rig.more_config = "[[on]]\nname = 'team'\nevent = 'sync.pushed'\nlog = 'info'\n".into();
    rig.push().expect_code(2).says(&["[[on]] \"team\": there is no event \"sync.pushed\""]);
}

/// Starts the target's agent with these entries.
fn agent_with(rig: &mut Rig, entries: &str) {
    let config = rig.folder.path().join("agent.toml");
    std::fs::write(&config, entries).unwrap();
    rig.start_agent_with("target", &["--config", config.to_str().unwrap()]);
}

fn told(rig: &mut Rig, name: &str) -> Vec<Value> {
    let events = rig.run(&["events"]).expect_code(0).json_lines();
    events.into_iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn what_the_targets_agent_does_after_a_run_is_done_once_and_told_in_the_run() {
    let mut rig = Rig::new(&small());
    let file = rig.folder.path().join("flushed");
    let entries = format!(
        "[[on]]\nname = 'flush'\ntarget = 'target'\nexec = {{ run = ['sh', '-c', 'cat >> \"$0\"', {file:?}] }}\n\
         [[on]]\nname = 'reindex'\nexec = {{ run = ['sh', '-c', 'echo the index is locked >&2; exit 1'] }}\n\
         [[on]]\nname = 'elsewhere'\ntarget = 'another'\nexec = {{ run = ['false'] }}\n"
    );
    agent_with(&mut rig, &entries);
    rig.start_worker();
    let push = rig.push().expect_code(0).json();
    let flushed = lines(&file);
    assert_eq!(flushed.len(), 1);
    assert_eq!((&flushed[0]["event"], &flushed[0]["run"]), (&"sync.run.closed".into(), &push["run"]));
    assert_eq!(
        flushed[0]["counts"]["content/collections/posts/created"],
        push["resources"]["content"]["posts"]["created"]
    );

    let events = told(&mut rig, "sync.actions.failed");
    assert_eq!((events.len(), &events[0]["run"]), (1, &push["run"]));
    let actions = events[0]["actions"].as_array().unwrap();
    assert_eq!((&actions[0]["name"], &actions[0]["error"]), (&"flush".into(), &Value::Null));
    assert!(actions[1]["error"].as_str().unwrap().contains("the index is locked"), "{actions:?}");
    let shown = rig.run_for_people(&["show", "last", "--held"]).expect_code(0).stdout;
    assert!(shown.contains("reindex") && shown.contains("the index is locked"), "{shown}");

    // A run that writes nothing has nothing to be flushed.
    rig.push().expect_code(0);
    assert_eq!((lines(&file).len(), told(&mut rig, "sync.actions.failed").len()), (1, 1));
}

#[test]
fn what_an_agent_was_at_when_it_died_is_done_once_more_and_then_given_up() {
    let mut rig = Rig::new(&small());
    let file = rig.folder.path().join("begun");
    let entries =
        format!("[[on]]\nname = 'slow'\nexec = {{ run = ['sh', '-c', 'cat >> \"$0\"; sleep 60', {file:?}] }}\n");
    agent_with(&mut rig, &entries);
    rig.start_worker();
    let push = rig.spawn_push();
    for begun in 1..=2 {
        wait_until("it has begun", || lines(&file).len() == begun);
        rig.agent("target").kill();
        agent_with(&mut rig, &entries);
    }
    push.wait().expect_code(0);
    let events = told(&mut rig, "sync.actions.failed");
    let error = events[0]["actions"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("the agent ended while it was at work"), "{events:?}");
    assert_eq!(lines(&file).len(), 2);
}
