//! Pages, lokalize, layout and collections of other add-ons: discovered at the source, brought over like any other.

use instances::{count, edit_document, ids, insert_document, read_document};
use serde_json::{Value, json};

use crate::support::{Output, Rig, small};

fn id(number: u32) -> String {
    format!("{number:024x}")
}

/// What Cockpit's add-ons keep, as far as it is known.
fn with_addons(config: &str) -> Rig {
    let mut rig = Rig::new(&small());
    rig.more_config = config.into();
    let source = rig.source();
    for number in 1..=30 {
        let page = json!({"data": {"title": format!("Page {number}"), "seo": []}, "_pid": null, "_state": 1, "_modified": 5, "_id": id(number)});
        insert_document(&source, "pages", &page).unwrap();
    }
    insert_document(&source, "pages/menus", &json!({"name": "main", "links": [{"title": "A/B"}], "_id": id(1)}))
        .unwrap();
    insert_document(&source, "pages/options", &json!({"key": "seo", "val": {"a": 1}, "_id": id(1)})).unwrap();
    insert_document(&source, "layout/components", &json!({"name": "hero", "fields": [1.5, 1e20], "_id": id(1)}))
        .unwrap();
    insert_document(&source, "lokalize/projects", &project()).unwrap();
    let other = json!({"name": "app", "keys": {"x": {"en": "X"}}, "_modified": 5, "_id": id(2)});
    insert_document(&source, "lokalize/projects", &other).unwrap();
    rig.start_worker();
    rig
}

fn project() -> Value {
    json!({
        "name": "web",
        "keys": {"hello": {"en": "Hello", "de": "Hallo"}, "bye": {"en": "Bye"}, "list": ["a", "b"], "none": []},
        "_modified": 5,
        "_id": id(1),
    })
}

#[track_caller]
fn created(push: &Output, resource: &str, model: &str) -> u64 {
    push.json()["resources"][resource][model]["created"].as_u64().unwrap_or(0)
}

#[track_caller]
fn assert_again_writes_nothing(rig: &mut Rig, push: &[&str]) {
    let commits = rig.commits("target");
    let again = rig.run(push).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0), "{:#}", again.json());
    assert_eq!(rig.commits("target"), commits);
    assert_eq!(again.json()["verified"], true);
}

#[test]
fn pages_lokalize_and_layout_come_along_and_a_second_push_writes_nothing() {
    let mut rig = with_addons("");
    let push = rig.push().expect_code(0);
    assert_eq!(push.json()["verified"], true);
    for (resource, model, expected) in [
        ("pages", "pages", 30),
        ("pages", "menus", 1),
        ("pages", "options", 1),
        ("lokalize", "projects", 2),
        ("layout", "components", 1),
    ] {
        assert_eq!(created(&push, resource, model), expected, "{resource} {model}: {:#}", push.json());
    }
    let component = read_document(&rig.target(), "layout/components", &id(1)).unwrap().unwrap();
    assert_eq!(component, read_document(&rig.source(), "layout/components", &id(1)).unwrap().unwrap());
    let page = read_document(&rig.target(), "pages", &id(7)).unwrap().unwrap();
    assert_ne!(page["_modified"], 5, "what has a time of change gets that of the sync");
    assert_again_writes_nothing(&mut rig, &["push", "target"]);
    edit_document(&rig.source(), "pages/menus", &id(1), |menu| menu["links"] = json!([])).unwrap();
    assert_eq!(rig.push().expect_code(0).count("updated"), 1);
}

#[test]
fn parts_of_pages_are_chosen_and_what_is_not_there_is_absent() {
    let mut rig = with_addons("");
    let push = rig.run(&["push", "target", "--resources", "pages", "--menus", "--settings"]).expect_code(0);
    assert_eq!((created(&push, "pages", "menus"), created(&push, "pages", "options")), (1, 1));
    assert_eq!((push.count("created"), count(&rig.target(), "pages").unwrap()), (2, 0));
    let retried = rig.run(&["retry", "last"]).expect_code(0);
    assert_eq!(retried.count("created"), 0, "{:#}", retried.json());

    rig.run(&["push", "target", "--resources", "locales", "--menus"])
        .expect_code(2)
        .says(&["add pages to --resources"]);
    rig.run(&["push", "target", "--resources", "contents"]).expect_code(2).says(&[
        "contents",
        "no resource",
        "lokalize",
    ]);
    std::fs::remove_file(rig.source().join("storage/data/lokalize.sqlite")).unwrap();
    let absent = rig.run(&["push", "target", "--resources", "lokalize,layout"]).expect_code(0);
    assert_eq!(absent.count("created"), 1);
    assert!(absent.stderr.contains("source has no lokalize/projects"), "{}", absent.stderr);
}

#[test]
fn missing_keys_are_added_at_every_level_and_what_the_target_has_stays() {
    let mut rig = with_addons("");
    let own = json!({
        "keys": {"hello": {"en": "Hi there", "fr": "Salut"}, "list": ["own"], "none": [], "only": {"en": "here"}},
        "name": "web", "_modified": 9, "_id": id(1),
    });
    insert_document(&rig.target(), "lokalize/projects", &own).unwrap();
    let push = ["push", "target", "--resources", "lokalize", "--missing-keys-only"];
    let first = rig.run(&push).expect_code(0);
    assert_eq!((first.count("created"), first.count("updated")), (1, 1));
    assert_eq!(first.json()["verified"], true);
    let merged = read_document(&rig.target(), "lokalize/projects", &id(1)).unwrap().unwrap();
    assert_eq!(
        merged["keys"],
        json!({"hello": {"en": "Hi there", "fr": "Salut", "de": "Hallo"}, "list": ["own"], "none": [], "only": {"en": "here"}, "bye": {"en": "Bye"}})
    );
    assert_again_writes_nothing(&mut rig, &push);
    let verified = rig.run(&["retry", "last"]).expect_code(0);
    assert_eq!((verified.count("created"), verified.count("updated")), (0, 0), "a retry does what the run did");

    let chosen = ["push", "target", "--resources", "lokalize", "--projects", "app"];
    assert_again_writes_nothing(&mut rig, &chosen);
    let replaced = rig.run(&["push", "target", "--resources", "lokalize"]).expect_code(0);
    assert_eq!(replaced.count("updated"), 1);
    assert_eq!(read_document(&rig.target(), "lokalize/projects", &id(1)).unwrap().unwrap()["keys"], project()["keys"]);
}

#[test]
fn the_config_says_by_which_field_documents_of_an_add_on_are_recognised_and_how_they_are_merged() {
    let mut rig = with_addons(
        "[resource.shop]\ncollections = ['shop/*']\nid = 'number'\n[transform.shop.orders]\nmasks = [{ field = 'mail', with = 'fake-email' }]\n\
         [resource.lokalize]\nmerge = 'missing-keys'\n",
    );
    for number in 1..=3 {
        let order = json!({"number": format!("o{number}"), "mail": "x@y.org", "total": 9.5, "_id": id(number)});
        insert_document(&rig.source(), "shop/orders", &order).unwrap();
    }
    insert_document(&rig.source(), "shop/odd", &json!({"no": "number", "_id": id(9)})).unwrap();
    insert_document(&rig.target(), "shop/orders", &json!({"number": "o2", "total": 1, "_id": id(77)})).unwrap();
    let own = json!({"name": "web", "keys": {"hello": {"en": "own"}}, "_id": id(1)});
    insert_document(&rig.target(), "lokalize/projects", &own).unwrap();

    let push = ["push", "target", "--resources", "shop,lokalize"];
    let first = rig.run(&push).expect_code(3);
    assert_eq!(
        (created(&first, "shop", "orders"), first.json()["resources"]["shop"]["orders"]["updated"].as_u64()),
        (2, Some(1))
    );
    assert_eq!(first.json()["resources"]["shop"]["odd"]["held"], 1, "{:#}", first.json());
    let kept = read_document(&rig.target(), "shop/orders", &id(77)).unwrap().unwrap();
    assert_eq!((&kept["number"], &kept["total"]), (&json!("o2"), &json!(9.5)));
    assert!(kept["mail"].as_str().unwrap().ends_with("@example.com") && kept.get("_modified").is_none(), "{kept}");
    assert_eq!(ids(&rig.target(), "shop/orders").unwrap().len(), 3);
    let keys = read_document(&rig.target(), "lokalize/projects", &id(1)).unwrap().unwrap()["keys"].clone();
    assert_eq!((&keys["hello"]["en"], &keys["bye"]["en"]), (&json!("own"), &json!("Bye")));
    let again = rig.run(&push).expect_code(3);
    assert_eq!((again.count("created"), again.count("updated"), again.count("held")), (0, 0, 1));
}

#[test]
fn settings_that_were_made_on_both_sides_are_recognised_by_their_key() {
    let mut rig = with_addons("");
    insert_document(&rig.target(), "pages/options", &json!({"key": "seo", "val": {"a": 0}, "_id": id(55)})).unwrap();
    rig.push().expect_code(0);
    assert_eq!(ids(&rig.target(), "pages/options").unwrap(), [id(55)]);
    assert_eq!(read_document(&rig.target(), "pages/options", &id(55)).unwrap().unwrap()["val"], json!({"a": 1}));
}

#[test]
fn what_is_cockpits_own_cannot_be_named_and_an_agent_serves_what_its_config_allows() {
    let mut rig = with_addons("");
    let users = count(&rig.target(), "system/users").unwrap();
    for name in ["system/users", "system/*", "content/collections/posts", "assets", "app/assets"] {
        rig.more_config = format!("[resource.sneaky]\ncollections = ['{name}']\n");
        rig.push().expect_code(2).says(&["resource.sneaky"]);
    }
    rig.more_config = "[resource.all]\ncollections = ['*', '*/*']\n".into();
    rig.push().expect_code(0);
    assert_eq!(count(&rig.target(), "system/users").unwrap(), users);

    let allowed = rig.folder.path().join("agent.toml");
    std::fs::write(&allowed, "[agent]\nmodels = ['posts', 'pages/menus']\n").unwrap();
    rig.start_agent_with("target", &["--config", &allowed.to_string_lossy()]);
    edit_document(&rig.source(), "pages/menus", &id(1), |menu| menu["links"] = json!([])).unwrap();
    edit_document(&rig.source(), "pages", &id(1), |page| page["data"] = json!({})).unwrap();
    assert_eq!(rig.run(&["push", "target", "--resources", "pages", "--menus"]).expect_code(0).count("updated"), 1);
    let refused = rig.run(&["push", "target", "--resources", "pages", "--pages"]).expect_code(1);
    assert!(refused.json()["error"].as_str().unwrap().contains("pages"), "{:#}", refused.json());
    assert_ne!(read_document(&rig.target(), "pages", &id(1)).unwrap().unwrap()["data"], json!({}));
}
