//! Values that are computed: variables of the environment and of `.env` files, and what PHP makes of an expression.

use std::process::Command;

use cockpit_sync_agent::Places;
use cockpit_sync_agent::cockpit_config::CockpitConfig;

use crate::{Instance, only_refusal, read, returning};

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

#[test]
fn a_later_setting_wins_as_in_php() {
    let config = returning("'sync' => ['syncKey' => 'first'], 'sync' => ['syncKey' => 'second']");
    assert_eq!(config.sync_key.as_deref(), Some("second"));
    assert_eq!(returning("'database' => ['server' => 'mongodb://x'], 'database' => []").refusals.len(), 0);
    let hidden = returning("'database' => ['server' => 'mongodb://x'], ...$x");
    assert!(hidden.refusals.iter().all(|refusal| refusal.contains("computes keys")));
}

#[test]
fn the_one_variable_that_is_returned_is_read() {
    let config = read("<?php\n$config = [\n 'database' => ['server' => 'mongodb://x'],\n];\n\nreturn $config;");
    assert!(config.refusals[0].contains("line 3 selects MongoDB"));
    let changed = read("<?php\n$config = [];\n$config['database'] = ['server' => 'mongodb://x'];\nreturn $config;");
    assert!(changed.refusals[0].contains("line 4 computes what it returns ($config)"), "{:?}", changed.refusals);
}
