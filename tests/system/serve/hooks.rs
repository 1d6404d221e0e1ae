//! What a CMS calls when something was saved.

use std::process::Command;

use instances::{edit_item, read_item};
use serde_json::{Value, json};

use super::Served;
use crate::support::{Rig, let_the_second_pass, small, wait_until};

fn rig() -> Rig {
    let mut rig = Rig::new(&small());
    rig.more_config = "[hook.cockpit]\ntarget = \"target\"\nmodels = [\"posts\", \"settings\"]\n".into();
    rig.start_worker();
    rig.push().expect_code(0);
    rig
}

/// Pushes that hooks made.
fn pushes(rig: &mut Rig) -> Vec<Value> {
    let runs = rig.run(&["runs", "--limit", "100"]).expect_code(0).json();
    let of_hook = |run: &&Value| run["started_by"] == "hook cockpit";
    runs.as_array().unwrap().iter().filter(of_hook).cloned().collect()
}

fn save(rig: &Rig, id: &str, title: &str) {
    let_the_second_pass();
    edit_item(&rig.source(), "posts", id, |item| item["title"] = title.into()).unwrap();
}

fn title(rig: &Rig, id: &str) -> Value {
    read_item(&rig.target(), "posts", id).unwrap().unwrap()["title"].clone()
}

#[test]
fn many_saves_of_an_item_are_one_push_also_through_two_processes() {
    let mut rig = rig();
    let (one, other) = (Served::start(&mut rig), Served::start(&mut rig));
    let id = instances::ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    save(&rig, &id, "a new title");
    let body = json!({ "model": "posts", "item": { "_id": id, "title": "whatever" } });
    let first = one.post("/api/hooks/cockpit", &body).expect(202).json();
    assert_eq!(first, json!({ "target": "target", "waits_already": false }));
    for _ in 0..5 {
        assert_eq!(
            other.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": id })).expect(202).json()["waits_already"],
            true
        );
    }
    wait_until("it has come", || title(&rig, &id) == "a new title");
    wait_until("the push is over", || pushes(&mut rig)[0]["state"] == "finished");
    assert_eq!(pushes(&mut rig).len(), 1);

    // A later save is a push of its own.
    save(&rig, &id, "a newer title");
    assert_eq!(other.post("/api/hooks/cockpit", &body).expect(202).json()["waits_already"], false);
    wait_until("it has come", || title(&rig, &id) == "a newer title");
    assert_eq!(pushes(&mut rig).len(), 2);

    one.post("/api/hooks/nobody", &body).expect(404).says(&["[hook.nobody]"]);
    let left_alone = json!({ "model": "authors", "item": "x" });
    assert!(one.post("/api/hooks/cockpit", &left_alone).expect(200).json()["ignored"].is_string());
    one.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": 7 })).expect(400).says(&["item is an id"]);
}

#[test]
fn a_save_that_was_told_is_pushed_although_the_process_that_was_told_dies() {
    let mut rig = rig();
    let id = instances::ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    save(&rig, &id, "told to one that died");
    let mut served = Served::start(&mut rig);
    served.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": id })).expect(202);
    served.process.kill();
    assert_eq!(pushes(&mut rig).len(), 0, "it was too late to show anything");
    let _again = Served::start(&mut rig);
    wait_until("it has come", || title(&rig, &id) == "told to one that died");
    assert_eq!(pushes(&mut rig).len(), 1);
}

/// Cockpit includes config/bootstrap.php from a static method, where there is `$app` and no `$this`.
const COCKPIT: &str = "
class App {
    public array $listeners = [];
    public function on($event, $listener) { $this->listeners[$event] = $listener; }
    public static function boot($file) { $app = new App(); include($file); return $app; }
}
App::boot($argv[1])->listeners['content.item.save']('posts', ['_id' => $argv[2]], true, 'content/collections/posts');
";

#[test]
fn the_documented_lines_for_the_cms_push_what_it_saves() {
    let has_curl = Command::new("php").args(["-r", "exit(function_exists('curl_init') ? 0 : 1);"]).status();
    if !has_curl.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no php with curl (Debian: apt-get install php-cli php-curl)");
        return;
    }
    let mut rig = rig();
    let served = Served::start(&mut rig);
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/serve.md")).unwrap();
    let (_, lines) = docs.split_once("```php\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    assert!(lines.contains("127.0.0.1:8100"), "{lines}");
    let file = rig.folder.path().join("bootstrap.php");
    std::fs::write(&file, lines.replace("127.0.0.1:8100", &served.address)).unwrap();
    let id = instances::ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    save(&rig, &id, "saved in the CMS");
    let output = Command::new("php").args(["-r", COCKPIT, "--"]).arg(&file).arg(&id).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    wait_until("it has come", || title(&rig, &id) == "saved in the CMS");
}
