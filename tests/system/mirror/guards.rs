//! What a mirror is refused for, before anything is written (I6).

use instances::{Stored, change, corrupt_row, delete_item, ids, insert_document, read_item};

use super::{MIRROR, POSTS, equal_instances, mirror_with};
use crate::support::{Rig, add_document, assert_as_before, documents_in, small, stored};

#[track_caller]
fn assert_refused(rig: &mut Rig, before: &Stored, more: &[&str], words: &[&str]) {
    let commits = rig.commits("target");
    let refused = mirror_with(rig, more).expect_code(4);
    assert_eq!(refused.error().0, "refused");
    refused.says(words);
    assert_as_before(before, &rig.target());
    assert_eq!(rig.commits("target"), commits);
}

#[test]
fn beyond_its_guards_a_mirror_is_refused_and_leaves_the_target_untouched() {
    let mut rig = equal_instances();
    // Something to write, too: nothing of it may land.
    change(&rig.source(), 5.0, 3).unwrap();
    for number in 0..3 {
        add_document(&rig.target(), POSTS, number);
    }
    let before = stored(&rig.target());
    assert_refused(&mut rig, &before, &["--max-delete", "2"], &["posts: 3 of 603", "--max-delete 3"]);
    assert_refused(&mut rig, &before, &["--max-delete", "0%"], &["posts"]);

    // A source that lost most of its posts, all of its authors, a row, a table.
    for id in &ids(&rig.source(), POSTS).unwrap()[..301] {
        delete_item(&rig.source(), "posts", id).unwrap();
    }
    assert_refused(&mut rig, &before, &[], &["posts", "at the last sync it had 600", "--allow-shrunk"]);
    assert_refused(&mut rig, &before, &["--max-delete", "100%"], &["--allow-shrunk"]);
    assert_refused(&mut rig, &before, &["--allow-shrunk"], &["posts: 304 of 603", "--max-delete 304"]);
    let authors = ids(&rig.source(), "content/collections/authors").unwrap();
    let last = read_item(&rig.source(), "authors", &authors[0]).unwrap().unwrap();
    for id in &authors {
        delete_item(&rig.source(), "authors", id).unwrap();
    }
    let allowed = ["--max-delete", "100%", "--allow-shrunk"];
    assert_refused(&mut rig, &before, &["--max-delete", "100%"], &["authors", "the source is empty"]);
    insert_document(&rig.source(), "content/collections/authors", &last).unwrap();
    let row = corrupt_row(&rig.source(), "content/collections/authors", &authors[0]).unwrap();
    assert_refused(&mut rig, &before, &allowed, &["authors", &format!("row {row}")]);
    let content = rusqlite::Connection::open(instances::data_file(&rig.source(), "content.sqlite")).unwrap();
    content.execute_batch("DROP TABLE collections_authors").unwrap();
    drop(content);
    assert_refused(&mut rig, &before, &allowed, &["authors", "table"]);

    // What is proven and allowed goes.
    insert_document(&rig.source(), "content/collections/authors", &last).unwrap();
    let allowed = mirror_with(&mut rig, &allowed).expect_code(0);
    assert_eq!(allowed.count("deleted"), 304 + authors.len() as u64 - 1);
    rig.assert_equal();
}

#[test]
fn the_agents_own_config_limits_what_a_mirror_deletes() {
    let mut rig = equal_instances();
    add_document(&rig.target(), POSTS, 1);
    add_document(&rig.target(), POSTS, 2);
    let before = stored(&rig.target());
    let config = rig.folder.path().join("agent.toml");
    for (text, words) in [("delete = false", "delete = false"), ("max_delete = 1", "max_delete")] {
        std::fs::write(&config, format!("[agent]\n{text}\n")).unwrap();
        rig.agent("target").kill();
        rig.start_agent_with("target", &["--config", config.to_str().unwrap()]);
        assert_refused(&mut rig, &before, &["--max-delete", "100%"], &[words]);
    }
}

#[test]
fn a_protected_target_takes_its_name() {
    let mut rig = equal_instances();
    add_document(&rig.target(), POSTS, 1);
    let before = stored(&rig.target());
    let protected = |rig: &mut Rig, command: &[&str]| {
        let config = rig.config_with("protected", &[]);
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("[instance.target]\n", "[instance.target]\nprotect = true\n");
        std::fs::write(&config, text).unwrap();
        rig.run_with(&config, command)
    };
    protected(&mut rig, MIRROR).expect_code(4).says(&["target is protected", "--yes-i-mean target"]);
    protected(&mut rig, &[MIRROR, &["--yes-i-mean", "tarhet"]].concat()).expect_code(4).says(&["tarhet"]);
    assert_as_before(&before, &rig.target());
    // A merge deletes nothing, so it asks for nothing.
    protected(&mut rig, &["push", "target"]).expect_code(0);
    let meant = protected(&mut rig, &[MIRROR, &["--yes-i-mean", "target"]].concat()).expect_code(0);
    assert_eq!(meant.count("deleted"), 1);
    protected(&mut rig, &["retry", "last"]).expect_code(4).says(&["--yes-i-mean target"]);
    let again = protected(&mut rig, &["retry", "last", "--yes-i-mean", "target"]).expect_code(0);
    assert_eq!(again.count("deleted"), 0);
    rig.assert_equal();
}

#[test]
fn options_of_a_mirror_without_one_are_usage_errors() {
    let mut rig = Rig::new(&small());
    for options in [["--max-delete", "5"], ["--max-delete", "x"], ["--max-delete", "101%"]] {
        assert_eq!(rig.run(&[&["push", "target"], &options[..]].concat()).code, 2, "{options:?}");
    }
    assert_eq!(rig.run(&["push", "target", "--allow-shrunk"]).code, 2);
    assert_eq!(mirror_with(&mut rig, &["--max-delete", "101%"]).code, 2);
    assert_eq!(documents_in(&rig.target()), 0);
}
