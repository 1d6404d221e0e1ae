//! What is read from a Cockpit's config without running it, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::PathBuf;
use std::process::Command;

use cockpit_sync_agent::Places;
use cockpit_sync_agent::cockpit_config::CockpitConfig;
use proptest::prelude::*;

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
fn a_later_setting_wins_as_in_php() {
    let config = returning("'sync' => ['syncKey' => 'first'], 'sync' => ['syncKey' => 'second']");
    assert_eq!(config.sync_key.as_deref(), Some("second"));
    assert_eq!(returning("'database' => ['server' => 'mongodb://x'], 'database' => []").refusals.len(), 0);
    let hidden = returning("'database' => ['server' => 'mongodb://x'], ...$x");
    assert!(hidden.refusals.iter().all(|refusal| refusal.contains("computes keys")));
}

#[test]
fn variables_come_from_env_files_before_the_environment() {
    let environment_only = |expression: &str| returning(&format!("'sync' => ['syncKey' => {expression}]")).sync_key;
    for expression in [
        "getenv('SYNC_KEY')",
        "$_ENV['SYNC_KEY']",
        "$_SERVER[\"SYNC_KEY\"] ?? 'x'",
        "env('SYNC_KEY', 'x')",
        "'${SYNC_KEY}'",
        "(string) getenv('SYNC_KEY')",
        "getenv('UNSET') ?: getenv('SYNC_KEY')",
        "env('EMPTY', env('SYNC_KEY'))",
        "\\getenv('SYNC_KEY', true)",
        "DotEnv::value('SYNC_KEY')",
    ] {
        assert_eq!(environment_only(expression).as_deref(), Some("from-the-environment"), "{expression}");
    }
    let config = "<?php return ['sync' => ['syncKey' => getenv('SYNC_KEY')], 'database' => ['server' => '${DATA}']];";
    let instance = Instance::new(&[
        ("config/config.php", config),
        (
            ".env",
            "# comment\n\nSYNC_KEY = \"from-the-file\" \nROOT=/nowhere\nDATA='mongolite://${ROOT}/data'\nnonsense",
        ),
    ]);
    assert_eq!(instance.config().sync_key.as_deref(), Some("from-the-file"));
    assert!(instance.config().refusals[0].contains("moves storage/data to /nowhere/data"));
}

#[test]
fn a_space_reads_its_own_env_file_after_that_of_its_cockpit() {
    let outer = Instance::new(&[
        (".env", "A=outer\nB=outer"),
        (".spaces/shop/.env", "B=inner-${A}"),
        (
            ".spaces/shop/config/config.php",
            "<?php return ['sync' => ['syncKey' => env('A').'-'.env('B')], 'paths' => ['#storage' => APP_SPACES_DIR.'/shop/storage']];",
        ),
    ]);
    let config = CockpitConfig::read(&outer.root.join(".spaces/shop"), &Places::default(), &|_| None).unwrap();
    assert_eq!(config.sync_key.as_deref(), Some("outer-inner-outer"));
    assert_eq!(config.refusals, Vec::<String>::new());
}

#[test]
fn a_variable_that_is_not_set_is_refused_where_it_matters_and_told_where_a_default_holds() {
    assert!(
        only_refusal("'database' => ['server' => getenv('DB_SERVER')]")
            .contains("takes database.server from DB_SERVER, which is set neither here nor in .env")
    );
    assert!(only_refusal("'database' => ['server' => 'mongolite://${DB_PATH}/data']").contains("from DB_PATH"));
    let config = returning("'database' => ['server' => env('DB_SERVER', 'mongolite://'.APP_DIR.'/storage/data')]");
    assert_eq!(config.refusals, Vec::<String>::new());
    assert!(config.notes[0].contains("line 4 takes database.server from DB_SERVER"));
}

#[test]
fn a_sync_key_that_cannot_be_read_is_told_and_harms_nothing() {
    for (expression, said) in [
        ("getenv('NOT_SET')", "reads sync.syncKey from NOT_SET"),
        ("hash('sha256', 'x')", "cannot be read without running PHP"),
    ] {
        let config = returning(&format!("'sync' => ['syncKey' => {expression}]"));
        assert_eq!((config.sync_key, config.refusals.len()), (None, 0));
        assert!(config.notes[0].contains(said), "{:?}", config.notes);
    }
    assert_eq!(returning("'sync' => ['syncKey' => '']").sync_key, None);
}

#[test]
fn the_one_variable_that_is_returned_is_read() {
    let config = read("<?php\n$config = [\n 'database' => ['server' => 'mongodb://x'],\n];\n\nreturn $config;");
    assert!(config.refusals[0].contains("line 3 selects MongoDB"));
    let changed = read("<?php\n$config = [];\n$config['database'] = ['server' => 'mongodb://x'];\nreturn $config;");
    assert!(changed.refusals[0].contains("line 4 computes what it returns ($config)"), "{:?}", changed.refusals);
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

#[test]
fn what_is_computed_here_is_what_php_computes() {
    let expressions = [
        "'a'.'b'.5.\"c\\n\"",
        "__DIR__.'/../x'",
        "dirname(__DIR__)",
        "dirname(__DIR__, 2).'/x'",
        "getenv('SET')",
        "getenv('SET') ?: 'd'",
        "getenv('UNSET') ?: 'd'",
        "getenv('EMPTY') ?: 'd'",
        "$_SERVER['UNSET'] ?? 'd'",
        "'x'.getenv('SET') ?: 'd'",
        "('a'.('b'))",
        "(string) 'a'.'b'",
        "null ?? 'd'",
        "'0' ?: 'd'",
        "false ?: 'd'",
        "'a' ?? 'd'",
        "true.'x'",
        "'a'.null.'b'",
        "Some\\Name::class",
        "DIRECTORY_SEPARATOR.'x'",
        "\\dirname('/a/b/c')",
        "'x' . ('' ?: 'y') . 'z'",
        "'a' ?: 'b' ?: 'c'",
    ];
    for expression in expressions {
        let source = format!("<?php return ['sync' => ['syncKey' => {expression}]];");
        let instance = Instance::new(&[("config/config.php", &source)]);
        let file = instance.root.join("config/config.php");
        let environment = |name: &str| match name {
            "SET" => Some("set".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let found = CockpitConfig::read(&instance.root, &Places::default(), &environment).unwrap().sync_key;
        let php = Command::new("php")
            .args(["-r", "echo (require $argv[1])['sync']['syncKey'];"])
            .arg(&file)
            .envs([("SET", "set"), ("EMPTY", "")])
            .output();
        let Ok(output) = php else {
            eprintln!("skipped: what_is_computed_here_is_what_php_computes (php is not installed)");
            return;
        };
        assert_eq!(found.unwrap_or_default(), String::from_utf8(output.stdout).unwrap(), "{expression}");
    }
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
