//! Cockpits that are not one directory with everything in its usual place: spaces, and storage that the config moves.

use std::path::Path;

use crate::support::{Process, Rig, cockpit_sync, documents_in, small};

#[test]
fn a_space_is_pushed_to_as_any_other_cockpit_and_the_one_around_it_stays_as_it_is() {
    let mut rig = Rig::new(&small());
    let space = rig.target().join(".spaces/shop");
    instances::make_empty(&space).unwrap();
    rig.start_agent_with("target", &["--space", "shop"]);
    rig.start_worker();
    rig.push().expect_code(0);
    let comparison = instances::compare(&rig.source(), &space).unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    assert_eq!(documents_in(&rig.target()), 0);

    // And on, from the space into the Cockpit around it.
    let root = rig.target();
    let config = rig.folder.path().join("paths.toml");
    let text = format!(
        "local = 'space'\n[instance.space]\npath = {space:?}\n[instance.around]\npath = {root:?}\npush = true\n"
    );
    std::fs::write(&config, text).unwrap();
    rig.agent("target").kill();
    rig.run_with(&config, &["push", "around"]).expect_code(0);
    rig.assert_equal();
}

#[test]
fn a_space_that_is_not_there_is_answered_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cockpit");
    instances::make_empty(&root).unwrap();
    for space in ["shop", "blog"] {
        instances::make_empty(&root.join(".spaces").join(space)).unwrap();
    }
    for space in ["shops", "..", "shop/../blog"] {
        let mut command = cockpit_sync();
        command.args(["--json", "agent", "--listen", "127.0.0.1:0", "--space", space, "--root"]).arg(&root);
        let refused = Process::start(&mut command, folder.path(), "agent").wait().expect_code(2);
        refused.says(&["there is no space", space, "blog, shop"]);
    }
}

/// Moves what an instance has in its storage to other places, says so in its config.php, and gives back the keys that
/// tell an agent. `ROOT/view` shows all of it in the usual places.
fn scatter(root: &Path) -> String {
    let elsewhere = root.with_extension("elsewhere");
    let view = root.join("view/storage");
    for directory in [&elsewhere, &view, &root.join("config")] {
        std::fs::create_dir_all(directory).unwrap();
    }
    for (from, to) in [("data", "files"), ("uploads", "media"), ("tmp", "scratch"), ("content", "kept/content")] {
        let (from_path, to_path) = (root.join("storage").join(from), elsewhere.join(to));
        std::fs::create_dir_all(to_path.parent().unwrap()).unwrap();
        if std::fs::rename(&from_path, &to_path).is_err() {
            std::fs::create_dir_all(&to_path).unwrap();
        }
        std::os::unix::fs::symlink(&to_path, view.join(from)).unwrap();
    }
    std::fs::rename(elsewhere.join("files/app.memory.sqlite"), elsewhere.join("memory.sqlite")).unwrap();
    std::fs::remove_dir_all(root.join("storage")).unwrap();
    let at = elsewhere.display();
    let php = format!(
        "<?php return [\n'database' => ['server' => 'mongolite://{at}/files'],\n\
         'memory' => ['server' => 'redislite://{at}/memory.sqlite'],\n\
         'paths' => ['#storage' => '{at}/kept', '#uploads' => '{at}/media', '#tmp' => '{at}/scratch'],\n];\n"
    );
    std::fs::write(root.join("config/config.php"), php).unwrap();
    format!(
        "storage = '{at}/kept'\ndata = '{at}/files'\nuploads = '{at}/media'\ntmp = '{at}/scratch'\n\
         memory = '{at}/memory.sqlite'\n"
    )
}

#[test]
fn a_storage_that_the_config_moves_is_served_when_the_agent_is_told_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    instances::make(&here, &small()).unwrap();
    instances::make_empty(&there).unwrap();
    let (of_here, of_there) = (scatter(&here), scatter(&there));
    let push = |keys: [&str; 2]| {
        let [of_here, of_there] = keys.map(|keys| keys.replace('\n', "\n  "));
        let config = format!(
            "local = 'here'\n[instance.here]\npath = 'here'\n[instance.here.agent]\n  {of_here}\n\
             [instance.there]\npath = 'there'\npush = true\n[instance.there.agent]\n  {of_there}\n"
        );
        std::fs::write(folder.path().join("cockpit-sync.toml"), config).unwrap();
        let mut command = cockpit_sync();
        command.args(["--json", "push", "there"]).current_dir(folder.path());
        Process::start(&mut command, folder.path(), "push").wait()
    };
    let elsewhere = there.with_extension("elsewhere");
    push([&of_here, ""]).expect_code(2).says(&["there: ", "--uploads", "--memory", elsewhere.to_str().unwrap()]);
    let wrong = of_there.replace("media", "kept");
    push([&of_here, &wrong]).expect_code(2).says(&["the agent was told that it is", "(--uploads)"]);

    push([&of_here, &of_there]).expect_code(0);
    let comparison = instances::compare(&here.join("view"), &there.join("view")).unwrap();
    assert!(comparison.is_equal() && comparison.compared > 0, "{comparison}");
    assert!(!there.join("storage").exists(), "nothing is made where Cockpit does not look");
    let again = push([&of_here, &of_there]).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0));
}

#[test]
fn models_travel_between_files_and_the_database_in_all_directions() {
    let in_rows = instances::Shape { models_in_database: true, ..small() };
    for (shape, target_in_rows) in [(small(), true), (in_rows.clone(), false), (in_rows, true)] {
        let mut rig = Rig::without_instances();
        instances::make(&rig.source(), &shape).unwrap();
        instances::make_empty(&rig.target()).unwrap();
        if target_in_rows {
            instances::with_models_in_database(&rig.target()).unwrap();
        }
        rig.start_agent("source");
        rig.start_agent("target");
        rig.start_worker();
        let pushed = rig.push().expect_code(0);
        assert_eq!(pushed.json()["verified"], true);
        rig.assert_equal();
        assert_eq!(instances::count(&rig.target(), "content/models").unwrap(), if target_in_rows { 4 } else { 0 });
        let files = std::fs::read_dir(rig.target().join("storage/content")).unwrap().count();
        assert_eq!(files, if target_in_rows { 0 } else { 4 });
        let again = rig.push().expect_code(0);
        assert_eq!((again.count("created"), again.count("updated")), (0, 0));
    }
}
