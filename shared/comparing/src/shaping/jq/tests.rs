#![expect(clippy::unwrap_used, reason = "tests")]

use protocol::canonical::Document;

use super::*;

fn run(filter: &str, document: &str) -> Result<String, String> {
    let filter = Jq::compile(filter).unwrap();
    on_a_deep_stack(|| {
        let before = to_jq(&Document::parse(document.as_bytes()).unwrap());
        let mut after = filter.run(before.clone(), document.len())?;
        keep_order(&before, &mut after);
        Ok(String::from_utf8(to_php_json(&after)?).unwrap())
    })
    .unwrap()
}

fn problem(filter: &str) -> String {
    Jq::compile(filter).err().unwrap().to_string()
}

#[test]
fn the_filter_of_the_documentation_does_what_it_says() {
    let filter = "del(._internalNotes) | if has(\"debugMode\") then .debugMode = false else . end";
    let document = r#"{"a":1,"_internalNotes":"x","debugMode":true,"z":"\u00e9 a\/b","_id":"1"}"#;
    assert_eq!(run(filter, document).unwrap(), r#"{"a":1,"debugMode":false,"z":"é a\/b","_id":"1"}"#);
}

#[test]
fn numbers_survive() {
    let numbers =
        r#"{"a":9007199254740993,"b":-9223372036854775808,"c":0.1,"d":1.0e+20,"e":9223372036854775807,"f":-5}"#;
    assert_eq!(run(".", numbers).unwrap(), numbers);
    assert_eq!(run(".g = .a + 1", numbers).unwrap(), numbers.replace('}', r#","g":9007199254740994}"#));
    assert_eq!(
        run(".g = 0", r#"{"a":123456789012345680.0,"b":10.0,"c":1e-5}"#).unwrap(),
        r#"{"a":1.2345678901234568e+17,"b":10,"c":1.0e-5,"g":0}"#
    );
    assert_eq!(run(".a = 1.50", r#"{"a":1}"#).unwrap(), r#"{"a":1.5}"#);
}

#[test]
fn keys_keep_their_order_at_every_level() {
    let document = r#"{"a":{"x":1,"y":2,"z":3},"l":[{"p":1,"q":2,"r":3}],"b":2,"_id":"1"}"#;
    assert_eq!(
        run("del(.a.x, .l[0].p) | .new = 1", document).unwrap(),
        r#"{"a":{"y":2,"z":3},"l":[{"q":2,"r":3}],"b":2,"_id":"1","new":1}"#
    );
}

#[test]
fn a_filter_that_never_ends_is_ended() {
    for endless in
        ["def f: f; f", "[repeat(1)]", "[range(0; 1e18)] | length", "[limit(1e18; repeat(1))]", "until(false; .)"]
    {
        assert!(run(endless, "{}").unwrap_err().contains("computes too long"), "{endless}");
    }
    let deep = run("def f: 1 + f; f", "{}").unwrap_err();
    assert!(deep.contains("too deeply") || deep.contains("too long"), "{deep}");
    let nested = run("reduce range(1e9) as $i ({}; {a: .})", "{}").unwrap_err();
    assert!(nested.contains("too long"), "{nested}");
}

#[test]
fn range_is_what_jq_says() {
    assert_eq!(
        run("{a: [range(3)], b: [range(2; 4)], c: [range(0; 10; 4)], d: [range(5; 0; -2)]}", "{}").unwrap(),
        r#"{"a":[0,1,2],"b":[2,3],"c":[0,4,8],"d":[5,3,1]}"#
    );
}

#[test]
fn one_result_is_wanted() {
    assert!(run("empty", "{}").unwrap_err().contains("no result"));
    assert!(run("., .", "{}").unwrap_err().contains("more than one"));
    assert!(run("error(\"too old\")", "{}").unwrap_err().contains("too old"));
    assert!(run(".a.b", r#"{"a":1}"#).unwrap_err().contains("cannot index"));
}

#[test]
fn what_json_has_not_is_no_result() {
    assert!(run("{a: (0 / 0)}", "{}").unwrap_err().contains("a number"));
    assert!(run("{(\"a\"|tobytes): 1}", "{}").unwrap_err().contains("no text"));
    let deep = "reduce range(600) as $i ({}; {a: .})";
    assert!(run(deep, "{}").unwrap_err().contains("511"));
}

#[test]
fn mistakes_are_named_with_their_place() {
    assert_eq!(problem("del(.a) |\n  frobnicate"), "line 2, column 3: there is no filter \"frobnicate\"");
    assert!(problem("now").contains("same result"));
    assert!(problem("$ENV").contains("variable"));
    assert!(problem("env.HOME").contains("same result"));
    assert!(problem("del(.a").starts_with("line 1, column"), "{}", problem("del(.a"));
    assert!(problem(".a = ").starts_with("line 1, column 6"), "{}", problem(".a = "));
    assert!(problem("import \"x\" as x; .").contains("imported"), "{}", problem("import \"x\" as x; ."));
}

#[test]
fn a_filter_that_is_nested_deeply_is_no_danger() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{a:", "}"),
        ("-", ""),
        (".|", ""),
        ("def f: ", ""),
        ("if ", ""),
        ("\"\\(", ")\""),
        (".[", "]"),
    ] {
        let levels = MAX_LENGTH / (open.len() + close.len()) - 1;
        let _ = Jq::compile(&format!("{}.{}", open.repeat(levels), close.repeat(levels)));
    }
    let problem = problem(&" ".repeat(MAX_LENGTH + 1));
    assert!(problem.contains("at most"), "{problem}");
}
