//! Transforms, masks and commands between two instances: what is changed on the way arrives changed, counts as the same
//! the next time, and holds nothing but the document it fails on.

use instances::{Shape, edit_item, ids, read_document, read_item};
use serde_json::{Value, json};

use crate::support::{Count, Rig, small};

fn rig(config: &str) -> Rig {
    let mut rig = Rig::new(&small());
    rig.more_config = config.into();
    rig.start_worker();
    rig
}

/// Every item of a model at the target.
fn items(rig: &Rig, model: &str) -> Vec<Value> {
    let collection = instances::collection_of(model);
    let there = ids(&rig.target(), &collection).unwrap();
    there.iter().map(|id| read_item(&rig.target(), model, id).unwrap().unwrap()).collect()
}

/// A push that finds nothing to do.
#[track_caller]
fn assert_again_writes_nothing(rig: &mut Rig) {
    let commits = rig.commits("target");
    let again = rig.push().expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0), "{:#}", again.json());
    assert_eq!(rig.commits("target"), commits, "a push with nothing to do committed something");
    assert_eq!(again.json()["verified"], true);
}

/// Failure case 28.
#[test]
fn a_transform_that_strips_a_field_is_verified_and_a_second_push_writes_nothing() {
    let mut rig =
        rig("[transform.content]\nbefore = 'del(._mby, .extra) | if has(\"rating\") then .rating += 1 else . end'\n");
    let push = rig.push().expect_code(0);
    assert_eq!(push.json()["verified"], true);
    let id = ids(&rig.source(), "content/collections/posts").unwrap()[7].clone();
    let (before, after) =
        (read_item(&rig.source(), "posts", &id).unwrap(), read_item(&rig.target(), "posts", &id).unwrap());
    let (before, after) = (before.unwrap(), after.unwrap());
    assert!(after.get("extra").is_none() && after.get("_mby").is_none(), "{after}");
    assert_eq!(after["rating"], before["rating"].as_i64().unwrap() + 1);
    assert_eq!(after["price"], before["price"]);
    assert_again_writes_nothing(&mut rig);
    rig.run(&["verify", "target"]).expect_code(0);

    edit_item(&rig.source(), "posts", &id, |post| post["extra"] = json!("more")).unwrap();
    assert_again_writes_nothing(&mut rig);
    edit_item(&rig.source(), "posts", &id, |post| post["rating"] = json!(40)).unwrap();
    assert_eq!(rig.push().expect_code(0).count("updated"), 1);
    assert_eq!(read_item(&rig.target(), "posts", &id).unwrap().unwrap()["rating"], 41);
}

#[test]
fn without_the_transform_the_target_is_not_what_verify_expects() {
    let mut rig = rig("[transform.content.posts]\nbefore = 'del(.extra)'\n");
    rig.push().expect_code(0);
    rig.more_config.clear();
    let verified = rig.run(&["verify", "target"]).expect_code(7);
    assert_ne!(verified.json()["counts"]["different"], 0);
}

#[test]
fn masks_hide_what_a_pull_brings_and_only_there() {
    let mut rig = rig("[transform.content.authors]\non = 'pull'\nmasks = [\n\
         { field = 'email', with = 'fake-email' }, { field = 'name', with = 'hash' }, { field = 'bio*', with = 'drop' },\n\
         { with = 'replace-host', from = 'example.com', to = 'stage.example.com' } ]\n");
    rig.push().expect_code(0);
    rig.assert_equal();
    // The other way: what is pulled into the source is masked.
    for id in ids(&rig.target(), "content/collections/authors").unwrap() {
        edit_item(&rig.target(), "authors", &id, |author| author["email"] = json!(format!("{id}@somebody.org")))
            .unwrap();
    }
    let pull = rig.run(&["pull", "target", "--models", "authors"]).expect_code(0);
    assert_eq!(pull.json()["verified"], true);
    for id in ids(&rig.source(), "content/collections/authors").unwrap() {
        let author = read_item(&rig.source(), "authors", &id).unwrap().unwrap();
        let text = author.to_string();
        assert!(!text.contains("somebody.org") && !text.contains("Müller") && !text.contains("Bio"), "{text}");
        assert_eq!(
            author["links"][0]["url"].as_str().map(|url| url.starts_with("https://stage.example.com/a/")),
            Some(true)
        );
    }
    let again = rig.run(&["pull", "target", "--models", "authors"]).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0));
}

#[test]
fn a_transform_that_fails_on_a_document_holds_that_document_and_nothing_else() {
    let mut rig = rig("[transform.content.authors]\nbefore = '.email |= ascii_upcase'\n");
    let odd = ids(&rig.source(), "content/collections/authors").unwrap()[3].clone();
    edit_item(&rig.source(), "authors", &odd, |author| author["email"] = json!({"no": "text"})).unwrap();
    let push = rig.push().expect_code(3);
    assert_eq!((push.count("held"), push.count("created")), (1, Count::of(&rig.source()).all() - 1));
    let notes = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    assert_eq!((&notes[0]["identity"], &notes[0]["cause"]), (&json!(odd), &json!("transform")), "{notes:#}");
    assert!(notes[0]["message"].as_str().unwrap().contains("transform.content.authors"), "{notes:#}");
    assert_eq!(read_item(&rig.target(), "authors", &odd).unwrap(), None);
    assert!(items(&rig, "authors").iter().all(|author| author["email"].as_str().unwrap().starts_with('A')));
}

#[test]
fn transforms_reach_single_singletons_and_copies_of_assets() {
    let mut rig = rig(
        "[transform.content.settings]\nbefore = '.siteName = \"Stage\"'\n[transform.assets]\nmasks = [{ field = 'title', with = 'hash' }]\n",
    );
    rig.push().expect_code(0);
    let settings = read_document(&rig.target(), "content/singletons", "settings").unwrap().unwrap();
    assert_eq!(settings["siteName"], "Stage");
    let asset = ids(&rig.target(), "assets").unwrap()[0].clone();
    let row = read_document(&rig.target(), "assets", &asset).unwrap().unwrap();
    let title = read_document(&rig.source(), "assets", &asset).unwrap().unwrap()["title"].clone();
    assert_ne!(row["title"], title);
    let copies: Vec<Value> =
        items(&rig, "posts").into_iter().map(|post| post["image"].clone()).filter(Value::is_object).collect();
    assert!(copies.iter().any(|copy| copy["_id"] == row["_id"]), "no post embeds {asset}");
    for copy in copies.iter().filter(|copy| copy["_id"] == row["_id"]) {
        assert_eq!(copy["title"], row["title"]);
    }
    assert_again_writes_nothing(&mut rig);
}

#[test]
fn a_command_of_the_config_shapes_documents_and_another_one_of_this_name_is_refused() {
    let config = |script: &str| {
        format!("[command.own]\nrun = ['sh', '{script}']\n[transform.content.authors]\ncommand = 'own'\n")
    };
    let mut rig = Rig::new(&small());
    let script = "while IFS= read -r line; do printf '%s\\n' \"$line\" | sed 's/\"email\":\"a/\"email\":\"b/'; done\n";
    std::fs::write(rig.folder.path().join("shape.sh"), script).unwrap();
    rig.more_config = config("shape.sh");
    rig.start_worker();
    rig.push().expect_code(0);
    assert!(items(&rig, "authors").iter().all(|author| author["email"].as_str().unwrap().starts_with('b')));
    assert_again_writes_nothing(&mut rig);

    // The worker keeps the config it was started with.
    rig.more_config = config("other.sh");
    let push = rig.push().expect_code(1);
    let error = push.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("[command.own]") && error.contains("something else"), "{error}");
}

#[test]
fn what_is_wrong_with_a_transform_is_said_before_anything_is_done() {
    let mut rig = rig("");
    for (config, words) in [
        ("[transform.content]\nbefore = 'del(.a) | nonsense'\n", ["transform.content", "line 1, column 11"]),
        ("[transform.content]\nbefore = '.a = now'\n", ["now", "same result"]),
        ("[transform.content]\nmasks = [{ field = 'a..b', with = 'drop' }]\n", ["transform.content", "dots"]),
        ("[command.c]\nrun = ['cat']\n[transform.assets]\ncommand = 'c'\n", ["transform.assets", "copies"]),
    ] {
        rig.more_config = config.into();
        rig.push().expect_code(2).says(&words);
    }
    assert_eq!(rig.commits("target"), 0);
}

/// Steps that change documents in every way a filter can, drawn from a seed.
fn drawn(seed: u64) -> String {
    const STEPS: [&str; 10] = [
        "del(.extra)",
        "if .title then .title |= ascii_upcase else . end",
        ".added = ((.rating // 0) * 3 - 1)",
        "walk(if type == \"string\" then gsub(\"o\"; \"0\") else . end)",
        "with_entries(select(.key | startswith(\"excerpt\") | not))",
        "if .tags then .tags |= (sort | reverse) else . end",
        "if (.extra | type) == \"object\" then .extra.nested = {deep: [1.5, 1e20, 9007199254740993]} else . end",
        ".price = ((.price // 0) / 3)",
        "if .sections then .sections |= map(del(.text)) else . end",
        ".list = [range(3) as $i | {n: $i, of: .title}]",
    ];
    let mut steps = Vec::new();
    let mut state = seed;
    for _ in 0..3 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        steps.push(STEPS[(state >> 33) as usize % STEPS.len()]);
    }
    steps.join(" | ")
}

#[test]
fn whatever_a_transform_does_a_second_push_writes_nothing() {
    let mut rig = Rig::new(&Shape { posts: 100, ..small() });
    rig.start_worker();
    for seed in 0..5 {
        let filter = drawn(seed);
        rig.more_config = format!("[transform.content.posts]\nbefore = '{filter}'\n");
        let push = rig.push();
        assert_eq!((push.code, push.json()["verified"].as_bool()), (0, Some(true)), "{filter}: {push:#?}");
        assert_again_writes_nothing(&mut rig);
    }
}
