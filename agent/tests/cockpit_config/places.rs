//! Storage that the config moves, and where the operator says it is.

use std::path::PathBuf;

use cockpit_sync_agent::Places;

use crate::{Instance, only_refusal, returning};

/// Settings of Cockpit's own documentation, the flag that goes with each, and what it says.
const MOVED: [(&str, &str, &str); 6] = [
    ("'paths' => ['#storage' => '/mnt/x']", "storage", "moves storage to /mnt/x (paths.#storage)"),
    ("'database' => ['server' => 'mongolite:///mnt/x']", "data", "moves storage/data to /mnt/x (database.server)"),
    ("'paths' => ['#uploads' => '/mnt/x']", "uploads", "moves storage/uploads to /mnt/x (paths.#uploads)"),
    (
        "'fileStorage' => ['uploads' => ['args' => ['/mnt/x']]]",
        "uploads",
        "moves storage/uploads to /mnt/x (fileStorage.uploads.args)",
    ),
    ("'paths' => ['#tmp' => '/mnt/x']", "tmp", "moves storage/tmp to /mnt/x (paths.#tmp)"),
    (
        "'memory' => ['server' => 'redislite:///mnt/x']",
        "memory",
        "moves storage/data/app.memory.sqlite to /mnt/x (memory.server)",
    ),
];

fn places(key: &str, path: &str) -> Places {
    let path = Some(PathBuf::from(path));
    match key {
        "storage" => Places { storage: path, ..Places::default() },
        "data" => Places { data: path, ..Places::default() },
        "uploads" => Places { uploads: path, ..Places::default() },
        "tmp" => Places { tmp: path, ..Places::default() },
        _ => Places { memory: path, ..Places::default() },
    }
}

#[test]
fn models_are_in_files_unless_the_config_says_the_database() {
    for (entries, in_database) in [
        ("'content' => ['models' => ['storage' => 'database']]", true),
        ("'content/models/storage' => 'database'", true),
        ("'content' => ['models' => ['storage' => 'files']]", false),
        ("'content' => ['models' => []]", false),
        ("", false),
    ] {
        let config = returning(entries);
        assert_eq!((config.models_in_database, config.refusals), (in_database, vec![]), "{entries}");
    }
    assert!(
        only_refusal("'content' => ['models' => ['storage' => pick()]]").contains("computes content.models.storage")
    );
}

#[test]
fn a_place_that_was_moved_is_refused_naming_the_flag_and_served_with_it() {
    for (entries, flag, what) in MOVED {
        let instance = Instance::new(&[("config/config.php", &format!("<?php return [\n{entries}\n];"))]);
        let refusals = instance.config().refusals;
        let expected = format!(
            "config/config.php line 2 {what}: give the agent --{flag} /mnt/x (or {flag} = \"/mnt/x\" in its own config)"
        );
        assert_eq!(refusals, [expected]);
        let config = instance.config_with(&places(flag, "/mnt/y/../x/"));
        assert_eq!((config.refusals, config.notes), (vec![], vec![]), "{entries}");
        let refusals = instance.config_with(&places(flag, "/mnt/other")).refusals;
        assert_eq!(refusals.len(), 1);
        assert!(refusals[0].contains(&format!("told that it is /mnt/other (--{flag})")), "{refusals:?}");
    }
}

#[test]
fn a_place_that_php_computes_is_where_the_operator_says() {
    for entries in [
        "'paths' => ['#uploads' => ini_get('upload_tmp_dir') . '/up']",
        "'paths' => ['#uploads' => getenv('UPLOADS_THAT_NOBODY_SETS')]",
        "'paths' => $paths",
    ] {
        let instance = Instance::new(&[("config/config.php", &format!("<?php return [\n{entries}\n];"))]);
        assert_eq!(instance.config().refusals.len(), 1, "{entries}");
        let all = Places {
            storage: Some("/mnt/storage".into()),
            uploads: Some("/mnt/uploads".into()),
            tmp: Some("/mnt/tmp".into()),
            ..Places::default()
        };
        let config = instance.config_with(&all);
        assert_eq!(config.refusals, Vec::<String>::new(), "{entries}");
        assert!(config.notes.iter().any(|note| note.contains("taken for /mnt/uploads, as --uploads says")));
    }
    let relative = Instance::new(&[("config/config.php", "<?php return ['paths' => ['#uploads' => 'up']];")]);
    assert!(relative.config().refusals[0].contains("whole path as --uploads"), "{:?}", relative.config());
}

#[test]
fn where_the_config_says_nothing_the_operator_does() {
    let instance = Instance::new(&[("config/config.php", "<?php return [];")]);
    assert_eq!(instance.config_with(&places("uploads", "/mnt/x")).refusals, Vec::<String>::new());
    let mongo = "<?php return ['database' => ['server' => 'mongodb://x']];";
    let mongo = Instance::new(&[("config/config.php", mongo)]).config_with(&places("data", "/mnt/x"));
    assert!(mongo.refusals[0].contains("selects MongoDB"), "{:?}", mongo.refusals);
}
