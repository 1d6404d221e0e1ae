//! Reading and writing PHP files that return a literal, and what PHP itself makes of them.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cockpit_sync_agent::php::{DEPTH_LIMIT, PhpArray, PhpError, PhpKey, PhpValue, SIZE_LIMIT, read_file, write_file};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

fn read(source: &str) -> serde_json::Value {
    read_file(source.as_bytes()).unwrap().to_json().unwrap()
}

fn returned(value: &str) -> serde_json::Value {
    read(&format!("<?php\n return {value};"))
}

/// Line, column and problem.
fn refusal(source: &str) -> (usize, usize, String) {
    match read_file(source.as_bytes()) {
        Err(PhpError::Unreadable { line, column, problem }) => (line, column, problem),
        other => panic!("{other:?}"),
    }
}

fn refused(value: &str) -> String {
    refusal(&format!("<?php return {value};")).2
}

#[test]
fn both_kinds_of_arrays_are_read() {
    let expected = json!({"a": [1, "x", null, true, false], "b": {"c": []}});
    assert_eq!(returned("['a' => [1, 'x', null, TRUE, False], 'b' => ['c' => []]]"), expected);
    assert_eq!(returned("array(\n'a'=>array(0=>1,'x',NULL,true,false,),'b'=>array('c'=>Array(),),)"), expected);
}

#[test]
fn keys_follow_phps_rules() {
    assert_eq!(
        returned("['1' => 'a', 'b', 5 => 'c', 'd', '05' => 'e']"),
        json!({"1": "a", "2": "b", "5": "c", "6": "d", "05": "e"})
    );
    assert_eq!(
        returned("[true => 'a', false => 'b', null => 'c', -7 => 'd']"),
        json!({"1": "a", "0": "b", "": "c", "-7": "d"})
    );
    assert_eq!(returned("['x' => 1, 'y' => 2, 'x' => 3]"), json!({"x": 3, "y": 2}));
    assert_eq!(returned("[1 => 'b', 0 => 'a']"), json!({"1": "b", "0": "a"}));
    assert_eq!(returned("[0 => 'a', 1 => 'b']"), json!(["a", "b"]));
    assert!(refused("[-5 => 1, 2]").contains("without a key"));
    assert!(refused("[9223372036854775807 => 1, 2]").contains("without a key"));
    assert!(refused("[1.5 => 1]").contains("neither an integer nor a string"));
}

#[test]
fn numbers_keep_their_kind() {
    assert_eq!(
        returned("[-5, 0x1F, 0b11, 017, 0o17, 1_000, 1.0, -0.5, .5, 1., 1.0E+20, 1e3, 9223372036854775808]"),
        json!([-5, 31, 3, 15, 15, 1000, 1.0, -0.5, 0.5, 1.0, 1e20, 1000.0, 9.223_372_036_854_776e18])
    );
    assert_eq!(returned("-9223372036854775807-1"), json!(i64::MIN));
    assert_eq!(returned("+5"), json!(5));
    for wrong in ["09", "1__", "0x", "1e999", "5-1", "5+1", "1a"] {
        refused(wrong);
    }
}

#[test]
fn strings_are_read_with_their_escapes() {
    assert_eq!(returned(r"'a\\b\'c\n$x'"), json!("a\\b'c\\n$x"));
    assert_eq!(returned(r#""a\n\t\$x\"\\\x41\101\u{1F600}\q{ $ 5""#), json!("a\n\t$x\"\\AA😀\\q{ $ 5"));
    assert_eq!(returned("'a' . \"\\0\" . 'b'"), json!("a\0b"));
    assert_eq!(returned("'two\r\nlines'"), json!("two\r\nlines"));
    assert_eq!(returned(r#""\xc3\xa4""#), json!("ä"));
    assert!(refused(r#""\xff""#).contains("not UTF-8"));
}

#[test]
fn objects_are_read_as_arrays() {
    assert_eq!(returned("(object) array('a' => 1,)"), json!({"a": 1}));
    assert_eq!(returned("['x' => \n(object)['a' => (object) array()]]"), json!({"x": {"a": []}}));
    assert_eq!(returned("\\ArrayObject::__set_state(array('q' => 1,))"), json!({"q": 1}));
    assert_eq!(returned("stdClass::__set_state(['q' => 1])"), json!({"q": 1}));
}

#[test]
fn comments_and_closing_tags_are_stepped_over() {
    let source = "<?PHP // one ?\n# two\n/* three ; */ return /**/ ['a', // x ]\n # y\n];\n// end\n?>\n";
    assert_eq!(read(source), json!(["a"]));
    assert_eq!(read("\u{feff}<?php return 1 ?>"), json!(1));
}

#[test]
fn what_is_computed_is_refused_by_line_and_column() {
    assert_eq!(
        refusal("<?php\n return [\n  'ä' => getenv('X'),\n];"),
        (3, 10, "getenv is not a literal value; nothing is computed here".into())
    );
    assert!(refused("\"a $b\"").contains("a string that PHP computes"));
    assert!(refused("$x").contains("$x"));
    assert!(refused("<<<X\na\nX").contains("a string that PHP computes"));
    assert!(refused("['a' => 1 + 2]").contains("`]` was expected, not `+`"));
    assert!(refused("[...[1]]").contains("`.`"));
    for wrong in
        ["`ls`", "fn() => 1", "new X", "X::Y", "__DIR__", "INF", "NAN", "[1 2]", "[,]", "(1)", "(array) []", "&$x", ""]
    {
        refused(wrong);
    }
}

#[test]
fn a_file_that_does_more_than_return_is_refused() {
    for wrong in [
        "",
        "<?php",
        "<?php return",
        "<?php return 1",
        "<?php return 1; return 2;",
        "<?php exit; return 1;",
        "x<?php return 1;",
        "<?php return 1;?>x",
        "<?phpreturn 1;",
        "<?= 1",
        "<?php return ['a'",
        "<?php return 'a",
        "<?php return \"a",
        "<?php /* return 1;",
        "<?php return [1;",
        "<?php return [1);",
        "<?php return array(1];",
    ] {
        refusal(wrong);
    }
}

#[test]
fn depth_and_size_are_limited() {
    let nested = |levels: usize| format!("<?php return {}{};", "[".repeat(levels), "]".repeat(levels));
    assert!(read_file(nested(DEPTH_LIMIT).as_bytes()).is_ok());
    assert!(refusal(&nested(DEPTH_LIMIT + 1)).2.contains("nested deeper"));
    assert!(
        refusal(&"<?php return ".replace("return ", &format!("return {}", "[".repeat(1_000_000))))
            .2
            .contains("nested deeper")
    );
    assert!(matches!(read_file(&vec![b' '; SIZE_LIMIT + 1]), Err(PhpError::TooLarge { .. })));
}

#[test]
fn a_value_is_written_as_cockpit_writes_it() {
    let value = PhpValue::from_json(&json!({
        "name": "it's", "list": ["a\\b", 1], "empty": {}, "none": null, "yes": true, "float": 1.0, "text": "a\n\nb)\nc),\narray ("
    }));
    let expected = "<?php\n return [\n  'name' => 'it\\'s',\n  'list' => [\n    0 => 'a\\\\b',\n    1 => 1,\n  ],\n  'empty' => [\n  ],\n  'none' => NULL,\n  'yes' => true,\n  'float' => 1.0,\n  'text' => 'a\n\nb)\nc),\narray (',\n];";
    assert_eq!(write_file(&value).unwrap(), expected);
    assert_eq!(write_file(&PhpValue::Array(PhpArray::new())).unwrap(), "<?php\n return [\n];");
}

#[test]
fn what_has_no_literal_is_not_written() {
    assert!(matches!(write_file(&PhpValue::Float(f64::NAN)), Err(PhpError::NotWritable(_))));
    assert!(matches!(write_file(&PhpValue::Float(f64::INFINITY)), Err(PhpError::NotWritable(_))));
    let mut deep = PhpValue::Null;
    for _ in 0..=DEPTH_LIMIT {
        deep = PhpValue::Array(PhpArray::from_iter([(PhpKey::Integer(0), deep)]));
    }
    assert!(write_file(&deep).is_err());
}

#[test]
fn floats_are_written_as_php_writes_them() {
    for (float, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (100.0, "100.0"),
        (123.25, "123.25"),
        (1e16, "10000000000000000.0"),
        (1e17, "1.0E+17"),
        (1.5e20, "1.5E+20"),
        (0.0001, "0.0001"),
        (0.00001, "1.0E-5"),
        (-1.5e-10, "-1.5E-10"),
    ] {
        assert_eq!(write_file(&PhpValue::Float(float)).unwrap(), format!("<?php\n return {text};"));
    }
}

fn any_value() -> impl Strategy<Value = PhpValue> {
    let text = prop_oneof![
        ".{0,8}",
        r"[a'\\$\x00\n\r){},\[\]?> ]{0,8}",
        prop::sample::select(vec!["a)\nb),\n", "array (", "x => ", "?>", "\u{2028}", "$x", "'", "\\", "5", "-0"])
            .prop_map(str::to_owned),
    ];
    let float = any::<f64>().prop_filter("PHP writes no literal for it", |float| float.is_finite());
    let leaf = prop_oneof![
        Just(PhpValue::Null),
        any::<bool>().prop_map(PhpValue::Bool),
        any::<i64>().prop_map(PhpValue::Integer),
        prop::sample::select(vec![i64::MIN, i64::MAX, -i64::MAX, 0]).prop_map(PhpValue::Integer),
        float.prop_map(PhpValue::Float),
        (-30i32..30).prop_map(|exponent| PhpValue::Float(10f64.powi(exponent))),
        text.clone().prop_map(PhpValue::Text),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let key = prop_oneof![
            text.clone().prop_map(|text| PhpKey::from_text(&text)),
            (-3i64..4).prop_map(PhpKey::Integer),
            any::<i64>().prop_map(PhpKey::Integer),
        ];
        prop_oneof![
            vec((key, inner.clone()), 0..6).prop_map(|entries| PhpValue::Array(entries.into_iter().collect())),
            vec(inner, 0..6)
                .prop_map(|elements| { PhpValue::Array((0..).map(PhpKey::Integer).zip(elements).collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(value in any_value()) {
        let text = write_file(&value).unwrap();
        prop_assert_eq!(read_file(text.as_bytes()).unwrap(), value);
    }

    #[test]
    fn json_goes_through_php_and_back(value in any_value()) {
        let json = value.to_json().unwrap();
        prop_assert_eq!(PhpValue::from_json(&json).to_json().unwrap(), json);
        prop_assert_eq!(PhpValue::from_json(&value.to_json().unwrap()), value);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error_with_its_place(
        value in any_value(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = write_file(&value).unwrap().into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            match read_file(bytes) {
                // What was read can be written, unless PHP has no literal for it.
                Ok(read) => prop_assert!(write_file(&read).is_ok_and(|text| read_file(text.as_bytes()) == Ok(read))),
                Err(PhpError::Unreadable { line, column, .. }) => prop_assert!(line > 0 && column > 0),
                Err(other) => prop_assert!(false, "neither a value nor a place: {}", other),
            }
        }
    }
}

/// Runs PHP code with arguments, or says that the test is skipped.
fn php(code: &str, arguments: &[&Path], test: &str) -> Option<String> {
    let Ok(output) = Command::new("php").arg("-r").arg(code).args(arguments).output() else {
        eprintln!("skipped: {test} (php is not installed)");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Names the files N.php of a directory that do not return what N.json says, types and order of keys included.
const DIFFERING: &str = r#"
    foreach (glob("$argv[1]/*.php") as $file) {
        $expected = json_decode(file_get_contents(substr($file, 0, -3).'json'), true, 512, JSON_THROW_ON_ERROR);
        if ((require $file) !== $expected) echo basename($file), "\n";
    }
    echo 'compared ', count(glob("$argv[1]/*.php"));
"#;

#[test]
fn php_reads_what_is_written_as_the_same_value() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    TestRunner::new(Config { cases: 300, ..Config::default() })
        .run(&any_value(), |value| {
            let path = directory.path().join(count.get().to_string());
            std::fs::write(path.with_extension("php"), write_file(&value).unwrap()).unwrap();
            std::fs::write(path.with_extension("json"), value.to_json().unwrap().to_string()).unwrap();
            count.set(count.get() + 1);
            Ok(())
        })
        .unwrap();
    let test = "php_reads_what_is_written_as_the_same_value";
    let Some(differing) = php(DIFFERING, &[directory.path()], test) else { return };
    assert_eq!(differing, "compared 300");
}

#[test]
fn what_php_writes_is_read_as_the_same_value() {
    let directory = tempfile::tempdir().unwrap();
    let mut values = Vec::new();
    let drawn = std::cell::RefCell::new(&mut values);
    TestRunner::new(Config { cases: 300, ..Config::default() })
        .run(&any_value(), |value| {
            drawn.borrow_mut().push(value);
            Ok(())
        })
        .unwrap();
    for (index, value) in values.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{index}.json")), value.to_json().unwrap().to_string()).unwrap();
    }
    let export = r#"
        foreach (glob("$argv[1]/*.json") as $file) {
            $value = json_decode(file_get_contents($file), true, 512, JSON_THROW_ON_ERROR);
            file_put_contents(substr($file, 0, -4).'php', "<?php\n return ".var_export($value, true).';');
        }
    "#;
    if php(export, &[directory.path()], "what_php_writes_is_read_as_the_same_value").is_none() {
        return;
    }
    for (index, value) in values.iter().enumerate() {
        let written = std::fs::read(directory.path().join(format!("{index}.php"))).unwrap();
        assert_eq!(read_file(&written).unwrap(), *value, "{}", String::from_utf8_lossy(&written));
    }
}

/// The models of a storage directory that a real Cockpit wrote, if that is at hand.
fn models_by_cockpit(into: &Path, test: &str) -> Option<Vec<PathBuf>> {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/cockpit-small.tar.gz");
    if !archive.exists() {
        eprintln!("skipped: {test} (no storage directory by a real Cockpit at hand)");
        return None;
    }
    let unpacked = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(into).status().unwrap();
    assert!(unpacked.success());
    let content = std::fs::read_dir(into.join("cockpit-small/storage/content")).unwrap();
    let models: Vec<_> = content
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".model.php"))
        .collect();
    assert!(models.len() >= 4);
    Some(models)
}

#[test]
fn a_model_written_by_cockpit_is_written_again_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let test = "a_model_written_by_cockpit_is_written_again_byte_for_byte";
    let Some(models) = models_by_cockpit(directory.path(), test) else { return };
    for model in models {
        let source = std::fs::read_to_string(&model).unwrap();
        assert_eq!(write_file(&read_file(source.as_bytes()).unwrap()).unwrap(), source, "{}", model.display());
    }
}

#[test]
fn models_written_by_cockpit_are_read_as_php_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    let test = "models_written_by_cockpit_are_read_as_php_reads_them";
    let Some(models) = models_by_cockpit(directory.path(), test) else { return };
    for model in &models {
        let value = read_file(&std::fs::read(model).unwrap()).unwrap();
        std::fs::write(model.with_extension("json"), value.to_json().unwrap().to_string()).unwrap();
    }
    let Some(differing) = php(DIFFERING, &[models[0].parent().unwrap()], test) else { return };
    assert_eq!(differing, format!("compared {}", models.len()));
}
