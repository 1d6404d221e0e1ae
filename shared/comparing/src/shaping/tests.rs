#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use protocol::shaping::{Mask, MaskWith, fingerprint};

use super::*;

fn posts() -> Collection {
    Collection::Items("posts".into())
}

fn entry(document: &str) -> Entry {
    let parsed = Document::parse(document.as_bytes()).unwrap();
    Entry {
        identity: parsed.id().unwrap_or("settings").to_owned(),
        hash: canonical::hash(&parsed, Identity::Id),
        size: document.len() as u32,
        document: Some(document.into()),
    }
}

fn step(change: Change) -> Step {
    Step { entry: "transform.content".into(), only: None, change }
}

fn jq(text: &str) -> Step {
    step(Change::Jq(text.into()))
}

async fn shape(collection: &Collection, steps: Vec<Step>, commands: &Commands, documents: &[&str]) -> Shaped {
    let shaping = Shaping { steps, ..Shaping::default() };
    let shaper = Shaper::new(collection, &shaping, commands).unwrap().unwrap();
    shaper.shape(documents.iter().map(|document| entry(document)).collect(), &|| {}).await.unwrap()
}

fn texts(shaped: &Shaped) -> Vec<String> {
    shaped.entries.iter().map(|entry| String::from_utf8(entry.document.clone().unwrap()).unwrap()).collect()
}

/// A command that runs a shell script over each line.
fn commands(script: &str) -> Commands {
    let run = ["sh", "-c", script].map(str::to_owned).to_vec();
    let settings = CommandSettings { run, time_limit: Duration::from_millis(500), folder: "/".into() };
    Commands::new(BTreeMap::from([("own".to_owned(), settings)]))
}

fn command(script: &str) -> Step {
    let run = ["sh", "-c", script].map(str::to_owned);
    step(Change::Command { name: "own".into(), fingerprint: fingerprint(&run) })
}

#[tokio::test]
async fn the_hash_is_of_the_result() {
    let shaped =
        shape(&posts(), vec![jq("del(.notes)")], &Commands::default(), &[r#"{"a":1,"notes":"x","_id":"1"}"#]).await;
    assert_eq!(texts(&shaped), [r#"{"a":1,"_id":"1"}"#]);
    assert_eq!(shaped.entries[0].hash, entry(r#"{"a":1,"_id":"1"}"#).hash);
}

#[tokio::test]
async fn what_no_transform_changes_keeps_its_bytes() {
    let document = "{\n \"a\": 1.0, \"notes2\": \"/\", \"_id\": \"1\"}";
    let shaped = shape(&posts(), vec![jq("del(.notes)")], &Commands::default(), &[document]).await;
    assert_eq!(texts(&shaped), [document]);
}

#[tokio::test]
async fn a_transform_that_fails_on_a_document_holds_that_document_alone() {
    let documents = [r#"{"a":{"b":1},"_id":"1"}"#, r#"{"a":5,"_id":"2"}"#, r#"{"a":{"b":2},"_id":"3"}"#];
    let shaped = shape(&posts(), vec![jq(".a.b = 0")], &Commands::default(), &documents).await;
    assert_eq!(texts(&shaped), [r#"{"a":{"b":0},"_id":"1"}"#, r#"{"a":{"b":0},"_id":"3"}"#]);
    assert_eq!((shaped.held[0].identity.as_str(), shaped.held[0].cause), ("2", HeldCause::Transform));
    assert!(shaped.held[0].message.starts_with("transform.content: "), "{}", shaped.held[0].message);
}

#[tokio::test]
async fn what_a_document_is_recognised_by_cannot_be_changed() {
    for filter in ["._id = \"2\"", "del(._id)", "{a: 1}", "[.]", "5"] {
        let shaped = shape(&posts(), vec![jq(filter)], &Commands::default(), &[r#"{"a":1,"_id":"1"}"#]).await;
        assert_eq!((shaped.entries.len(), shaped.held.len()), (0, 1), "{filter}");
    }
    let asset = r#"{"path":"\/a.png","title":"t","_hash":"h","_id":"1"}"#;
    let shaped = shape(&Collection::Assets, vec![jq(".path = \"/b.png\"")], &Commands::default(), &[asset]).await;
    assert!(shaped.held[0].message.contains("path"));
    let shaped = shape(&Collection::Assets, vec![jq(".title = \"u\"")], &Commands::default(), &[asset]).await;
    assert_eq!(shaped.entries.len(), 1);
}

#[tokio::test]
async fn steps_follow_each_other_and_may_be_about_one_document() {
    let masks = step(Change::Mask(Mask { field: "n".into(), with: MaskWith::Drop }));
    let second = Step { only: Some("2".into()), ..jq(".a += 1") };
    let documents = [r#"{"n":1,"a":1,"_id":"1"}"#, r#"{"n":1,"a":1,"_id":"2"}"#];
    let shaped = shape(&posts(), vec![jq(".a += .n"), masks, second], &Commands::default(), &documents).await;
    assert_eq!(texts(&shaped), [r#"{"a":2,"_id":"1"}"#, r#"{"a":3,"_id":"2"}"#]);
}

#[tokio::test]
async fn a_command_gets_a_document_a_line_and_stays_for_the_next() {
    // Counts what one process got: the second document shows that it is still the same.
    let script = r#"while read -r line; do n=$((n+1)); echo "$line" | sed "s|old|$n $COCKPIT_SYNC_COLLECTION|"; done"#;
    let commands = commands(script);
    let documents = ["{\"a\":\"old\",\n\"_id\":\"1\"}", r#"{"a":"old","_id":"2"}"#];
    for round in [0, 2] {
        let shaped = shape(&posts(), vec![command(script), jq(".b = 1")], &commands, &documents).await;
        let expected = |document: u32| {
            format!(r#"{{"a":"{} content\/collections\/posts","_id":"{document}","b":1}}"#, round + document)
        };
        assert_eq!(texts(&shaped), [expected(1), expected(2)]);
    }
}

#[tokio::test]
async fn a_command_that_fails_hangs_or_refuses_holds_the_document_it_had() {
    let script = r#"while read -r line; do case "$line" in *die*) exit 7;; *hang*) sleep 60;; *refuse*) echo '"too old"';; *odd*) echo nonsense;; *) echo "$line";; esac; done"#;
    let documents =
        ["ok", "die", "ok2", "hang", "refuse", "odd", "ok3"].map(|word| format!(r#"{{"a":"{word}","_id":"{word}"}}"#));
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let shaped = shape(&posts(), vec![command(script)], &commands(script), &documents).await;
    assert_eq!(shaped.entries.iter().map(|entry| entry.identity.as_str()).collect::<Vec<_>>(), ["ok", "ok2", "ok3"]);
    let held: Vec<(&str, &str)> =
        shaped.held.iter().map(|held| (held.identity.as_str(), held.message.as_str())).collect();
    for (identity, words) in
        [("die", "ended without an answer"), ("hang", "within 500 ms"), ("refuse", "too old"), ("odd", "no document")]
    {
        assert!(
            held.iter().any(|(held, message)| *held == identity && message.contains(words)),
            "{identity}: {held:?}"
        );
    }
}

#[tokio::test]
async fn a_command_that_cannot_work_is_no_fault_of_the_documents() {
    let documents: Vec<String> = (0..9).map(|id| format!(r#"{{"_id":"{id}"}}"#)).collect();
    let shaping = Shaping { steps: vec![command("exit 3")], ..Shaping::default() };
    let shaper = Shaper::new(&posts(), &shaping, &commands("exit 3")).unwrap().unwrap();
    let failed = shaper.shape(documents.iter().map(|document| entry(document)).collect(), &|| {}).await.err().unwrap();
    assert!(matches!(&failed, ShapingError::Failed(why) if why.contains("in a row")), "{failed}");
}

#[test]
fn a_command_must_be_the_one_of_this_process() {
    let shaping = Shaping { steps: vec![command("cat")], ..Shaping::default() };
    let error = |commands: &Commands| match Shaper::new(&posts(), &shaping, commands) {
        Err(ShapingError::NotHere(why)) => why,
        _ => panic!("taken"),
    };
    assert!(error(&Commands::default()).contains("no [command.own]"));
    assert!(error(&commands("rm -rf /")).contains("something else"));
    assert!(Shaper::new(&posts(), &shaping, &commands("cat")).is_ok());
}

#[test]
fn what_is_merged_is_the_targets_with_what_it_lacked() {
    let shaping = Shaping { merge: Merge::MissingKeys, ..Shaping::default() };
    let shaper = Shaper::new(&posts(), &shaping, &Commands::default()).unwrap().unwrap();
    let target = br#"{"k":{"a":"kept"},"_modified":5,"_id":"1"}"#;
    let (merged, hash) =
        shaper.merged(br#"{"k":{"a":"x","b":"new"},"_modified":9,"_id":"1"}"#, target).unwrap().unwrap();
    assert_eq!(String::from_utf8(merged.clone()).unwrap(), r#"{"k":{"a":"kept","b":"new"},"_modified":5,"_id":"1"}"#);
    assert_eq!(hash, canonical::hash(&Document::parse(&merged).unwrap(), Identity::Id));
    assert_eq!(shaper.merged(br#"{"k":{"a":"x","b":"y"}}"#, &merged).unwrap(), None);
}

#[tokio::test]
async fn what_changes_assets_changes_their_copies_in_documents() {
    let shaping = Shaping { copies: vec![jq("del(.title) | .alt = \"x\"")], ..Shaping::default() };
    let shaper = Shaper::new(&posts(), &shaping, &Commands::default()).unwrap().unwrap();
    let document = r#"{"title":"kept","images":[{"path":"\/a","mime":"m","type":"image","title":"t","_data":{"title":"d"},"_id":"7"}],"link":{"_id":"8","title":"kept"},"_id":"1"}"#;
    let shaped = shaper.shape(vec![entry(document)], &|| {}).await.unwrap();
    let expected = r#"{"title":"kept","images":[{"path":"\/a","mime":"m","type":"image","_data":{"title":"d"},"_id":"7","alt":"x"}],"link":{"_id":"8","title":"kept"},"_id":"1"}"#;
    assert_eq!(texts(&shaped), [expected]);
}

/// JSON text with everything that is hard: integers at the edge, floats, escapes, nesting, keys that look like numbers.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|truth| truth.to_string()),
        any::<i64>().prop_map(|integer| integer.to_string()),
        any::<u64>().prop_map(|integer| integer.to_string()),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(|float| format!("{float:e}")),
        Just("1e2".to_owned()),
        Just("-0.0".to_owned()),
        Just("9007199254740993".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\u2028\/\u00e9\ud83d\ude00""#.to_owned()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            fields(inner).prop_map(|fields| format!("{{{fields}}}")),
        ]
    })
}

fn fields(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = prop_oneof!["[a-c0-2]", any::<String>()];
    prop::collection::vec((key, value), 0..6).prop_map(|fields| {
        let fields = fields.iter().map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()));
        fields.collect::<Vec<_>>().join(",")
    })
}

static NOTHING: std::sync::OnceLock<Jq> = std::sync::OnceLock::new();

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_document_that_is_written_anew_is_the_same_document(fields in fields(value())) {
        let text = format!("{{{fields}}}");
        let Ok(document) = Document::parse(text.as_bytes()) else { return Ok(()) };
        let before = super::jq::to_jq(&document);
        let written = super::jq::to_php_json(&before).unwrap();
        let again = Document::parse(&written).unwrap();
        prop_assert_eq!(canonical::hash(&again, Identity::Id), canonical::hash(&document, Identity::Id));
        // And `.` is nothing at all.
        let filter = NOTHING.get_or_init(|| Jq::compile(".").unwrap());
        prop_assert!(became(&before, filter.run(before.clone(), 1).unwrap()).unwrap().is_none());
    }
}
