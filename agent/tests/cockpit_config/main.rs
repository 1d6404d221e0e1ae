//! What is read from a Cockpit's config without running it, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;

use cockpit_sync_agent::Places;
use cockpit_sync_agent::cockpit_config::CockpitConfig;
use proptest::prelude::*;

mod places;
mod values;

/// An instance's directory with some files in it.
struct Instance {
    _directory: tempfile::TempDir,
    root: PathBuf,
}

impl Instance {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap().join("cockpit");
        std::fs::create_dir_all(root.join("storage/data")).unwrap();
        for (name, content) in files {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), content).unwrap();
        }
        Self { _directory: directory, root }
    }

    fn config(&self) -> CockpitConfig {
        self.config_with(&Places::default())
    }

    fn config_with(&self, places: &Places) -> CockpitConfig {
        let environment = |name: &str| match name {
            "SYNC_KEY" => Some("from-the-environment".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        CockpitConfig::read(&self.root, places, &environment).unwrap()
    }
}

fn read(config: &str) -> CockpitConfig {
    Instance::new(&[("config/config.php", config)]).config()
}

fn returning(entries: &str) -> CockpitConfig {
    read(&format!("<?php\n\nreturn [\n{entries}\n];\n"))
}

fn only_refusal(entries: &str) -> String {
    let config = returning(entries);
    assert_eq!(config.refusals.len(), 1, "{entries}: {:?}", config.refusals);
    config.refusals[0].clone()
}

#[test]
fn without_a_config_everything_is_as_cockpit_has_it_by_default() {
    assert_eq!(Instance::new(&[]).config(), CockpitConfig::default());
    assert_eq!(returning(""), CockpitConfig::default());
}

#[test]
fn a_config_by_cockpits_own_documentation_is_served() {
    let config = read(
        r#"<?php
        use Some\Thing;

        # a comment with 'database' => in it
        $started = microtime(true);

        return [
            'app.name' => 'My Project',
            'debug' => false,
            'sec-key' => bin2hex(random_bytes(8)),
            'mailer' => ['from' => "info@$domain", 'port' => 587, 'auth' => match (true) { default => [1, 2] }],
            'allowed' => function (array $a = [], $b = null) use ($started) { return ['database' => ['server' => 'mongodb://x']]; },
            'short' => fn($x) => ['memory' => $x],
            'text' => <<<TEXT
                'database' => ['server' => 'mongodb://x'],
                TEXT . 'x',
            'mongodb' => ['database' => ['server' => 'mongodb://x']],
            'pure' => #[Pure] static fn() => ['a' => 1],
            'cors' => array('allowedOrigins' => array('*'), 'x' => new Thing(1, [2])),
            'database' => ['server' => 'mongolite://' . __DIR__ . '/../storage/data', 'options' => ['db' => 'app']],
            'memory' => ['server' => 'redislite://' . dirname(__DIR__) . "/storage/data/app.memory.sqlite"],
            'paths' => ['#storage' => APP_DIR . '/storage/', '#modules' => '/elsewhere'],
            'fileStorage' => ['uploads' => ['url' => 'https://cdn.example.com', 'adapter' => \League\Flysystem\Local\LocalFilesystemAdapter::class]],
            'sync' => ['syncKey' => 'a-key-of-at-least-20-characters'],
        ];
        ?>
        "#,
    );
    assert_eq!(config.refusals, Vec::<String>::new());
    assert_eq!(config.notes, Vec::<String>::new());
    assert_eq!(config.sync_key.as_deref(), Some("a-key-of-at-least-20-characters"));
    assert_eq!(config.debug, Some(false));
    assert!(!format!("{config:?}").contains("a-key-of"));
}

#[test]
fn storage_that_is_not_served_is_refused_by_name_and_line() {
    assert_eq!(
        only_refusal(
            "'database' => [\n  'server' => 'mongodb://user:secret@db:27017',\n  'options' => ['db' => 'app']\n]"
        ),
        "config/config.php line 5 selects MongoDB (database.server = mongodb://...): cockpit-sync serves the SQLite storage only"
    );
    assert!(only_refusal("'database' => ['server' => 'MongoDB+srv://x']").contains("selects MongoDB"));
    assert!(only_refusal("'database' => ['server' => 'mysql://x']").contains("unknown database"));
    assert!(only_refusal("'database' => ['options' => ['db' => 'other']]").contains("names the main database other"));
    assert!(
        only_refusal("'database' => ['server' => 'mongolite:///srv/data']").contains("moves storage/data to /srv/data")
    );
    assert!(only_refusal("'database' => ['server' => 'mongolite://storage/data']").contains("moves storage/data"));
    assert!(
        only_refusal("'memory' => ['server' => 'redis://:secret@x:6379']").contains("memory.server = redis://...)")
    );
    assert!(
        only_refusal("'memory' => ['server' => 'redislite:///tmp/x.sqlite']")
            .contains("app.memory.sqlite to /tmp/x.sqlite")
    );
    assert!(
        only_refusal("'paths' => ['#uploads' => '/mnt/uploads']").contains("moves storage/uploads to /mnt/uploads")
    );
    assert!(only_refusal("'paths' => ['#storage' => __DIR__.'/storage']").contains("moves storage to"));
    assert!(only_refusal("'paths' => ['#tmp' => '/tmp']").contains("moves storage/tmp to /tmp"));
    assert!(
        only_refusal(
            "'fileStorage' => ['uploads' => ['adapter' => 'League\\Flysystem\\AwsS3V3\\AwsS3V3Adapter', 'url' => 'x']]"
        )
        .contains("AwsS3V3Adapter")
    );
    assert!(
        only_refusal("'fileStorage' => ['#uploads' => ['args' => ['/mnt/x']]]")
            .contains("moves storage/uploads to /mnt/x")
    );
    assert!(
        only_refusal("'cloudStorage' => ['uploads' => ['key' => getenv('S3_KEY'), 'bucket' => 'b']]")
            .contains("in a cloud")
    );
    let with_handler =
        Instance::new(&[("config/bootstrap.php", "<?php $this->on('app.filestorage.init', fn() => 1);")]);
    assert!(with_handler.config().refusals[0].contains("config/bootstrap.php changes where files are stored"));
}

#[test]
fn what_is_computed_where_it_matters_is_refused_and_no_secret_is_told() {
    let refusal = only_refusal("'database' => [\n'server' => sprintf('mongodb://u:secret@%s', $host)]");
    assert!(
        refusal.starts_with("config/config.php line 5 computes database.server (sprintf('...',$host))"),
        "{refusal}"
    );
    assert!(only_refusal("'database' => require 'db.php'").contains("computes database"));
    assert!(only_refusal("'database' => ['server' => \"mongolite://$dir\"]").contains("computes database.server"));
    assert!(only_refusal("'database' => ['server' => 'mongolite://'.$dir]").contains("computes database.server"));
    assert!(only_refusal("'database' => ['server' => $a ? 'x' : 'y']").contains("computes database.server"));
    assert!(only_refusal("'database' => ['server' => 5]").contains("wrong kind"));
    assert!(only_refusal("'memory' => [...$memory]").contains("line 4 computes keys"));
    assert!(only_refusal("...$common").contains("line 4 computes keys"));
    assert!(
        only_refusal("'app.name' => 'x',\nstrtolower('DATABASE') => ['server' => 'x']")
            .contains("line 5 computes keys")
    );
    assert!(only_refusal("'data'.'base' => ['server' => 'mongodb://x']").contains("selects MongoDB"));
}

#[test]
fn a_file_whose_outcome_is_open_is_refused() {
    for (config, said) in [
        ("<?php return array_merge(['debug' => true], []);", "line 1 computes what it returns"),
        ("<?php return ['debug' => true] + $x;", "line 1 computes what it returns"),
        ("<?php\nif ($x) { return []; }\nreturn [];", "line 2: a `return` that depends on code"),
        ("<?php\nif ($x) return [];\nreturn [];", "line 2: a `return` that depends on code"),
        ("<?php\nif ($x): return []; endif;\nreturn [];", "line 2: a `return` that depends on code"),
        ("<?php return []; echo 1;", "line 1: code after `return`"),
        ("<?php $x = [];", "line 1: no `return`"),
        ("<?php return 5;", "line 1 does not return an array"),
        ("<?php return ['a' => [1;", "line 1: an array that does not end"),
        ("<?php return ['a' => ({ 1;", "line 1: a bracket that is not closed"),
        ("<?php\nreturn ['a' => 'x", "line 2: a string without an end"),
        ("nothing", "line 1: the file does not start with <?php"),
    ] {
        let refusals = read(config).refusals;
        assert!(refusals.len() == 1 && refusals[0].contains(said), "{config}: {refusals:?}");
        assert!(refusals[0].ends_with("cockpit-sync cannot tell which storage it selects"));
    }
}

#[test]
fn nesting_without_end_is_an_answer_and_not_a_crash() {
    for value in ["[".repeat(100_000), "(".repeat(100_000), "(string)".repeat(100_000), "1 ?: ".repeat(100_000)] {
        assert_eq!(read(&format!("<?php return ['database' => {value}")).refusals.len(), 1);
    }
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(returning(&format!("'x' => {deep}")).refusals.len(), 0);
}

proptest! {
    #[test]
    fn no_config_makes_the_reader_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "'database'", "=>", "[", "]", "(", ")", "{", "}", ",", ";", "return", "<?php ", "?>", "...", "fn", "getenv", "$_ENV", "'x'", "\"", "'",
        "<<<A\n", "A\n", "??", "?:", ".", "dirname", "::", "class", "#", "//", "\n", "/*", "1", "$x", "=", "'sync'", "'syncKey'", "array", "${A}",
    ]), 0..40)) {
        let with_start = format!("<?php return ['database' => {}", pieces.concat());
        let _ = read(&pieces.concat());
        let _ = read(&with_start);
    }
}
