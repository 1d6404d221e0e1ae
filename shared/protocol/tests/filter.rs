//! What filters match, and what is said of those that cannot be read.
#![expect(clippy::unwrap_used, reason = "tests")]

use cockpit_sync_protocol::canonical::Document;
use cockpit_sync_protocol::filter::Filter;
use proptest::prelude::*;

const POST: &str = r#"{"title":"Größer","slug":"groesser","rating":4,"price":10,"ratio":0.5,"big":9007199254740993,
    "featured":true,"image":null,"tags":["news","t7"],"published":"2024-08-08","empty":[],
    "author":{"_model":"authors","_id":"a1"},"seo":{"title":"SEO 7","noindex":false},
    "sections":[{"headline":"One","n":1,"image":{"_id":"x"}},{"headline":"Two","n":5}],"matrix":[[1,2],[3,4]],
    "_state":1,"_modified":1795346012,"_id":"p1"}"#;

fn matches(filter: &str) -> bool {
    Filter::parse(filter).unwrap().matches(&Document::parse(POST.as_bytes()).unwrap())
}

fn all_match(filters: &[&str]) {
    for filter in filters {
        assert!(matches(filter), "{filter} does not match");
    }
}

fn none_matches(filters: &[&str]) {
    for filter in filters {
        assert!(!matches(filter), "{filter} matches");
    }
}

fn error(filter: &str) -> String {
    Filter::parse(filter).unwrap_err().to_string()
}

#[test]
fn filters_of_cockpits_documentation_match() {
    all_match(&[
        "{}",
        r#"{"_state":1}"#,
        r#"{"_modified":{"$gte":1795346012}}"#,
        r#"{"_state":1,"_modified":{"$gte":1700000000}}"#,
        r#"{"title":{"$regex":"^grö","$options":"i"}}"#,
        r#"{"_id":{"$in":["p0","p1"]}}"#,
        r#"{"$or":[{"rating":5},{"featured":true}]}"#,
        r#"{"author._id":"a1"}"#,
        r#"{"tags":{"$in":["t7","other"]}}"#,
    ]);
    none_matches(&[r#"{"_state":{"$ne":1}}"#, r#"{"_modified":{"$gt":1795346012}}"#, r#"{"title":{"$regex":"^grö"}}"#]);
}

#[test]
fn comparisons_compare_within_a_kind_only() {
    all_match(&[
        r#"{"rating":4.0}"#,
        r#"{"rating":{"$gt":3.5,"$lt":4.5}}"#,
        r#"{"big":{"$gt":9007199254740992}}"#,
        r#"{"big":{"$gt":9007199254740992.0}}"#,
        r#"{"big":{"$lt":1e300}}"#,
        r#"{"big":{"$gt":-1e300}}"#,
        r#"{"ratio":{"$gt":0,"$lt":1}}"#,
        r#"{"published":{"$gte":"2024-01-01","$lt":"2025"}}"#,
        r#"{"featured":{"$gt":false}}"#,
        r#"{"seo":{"noindex":false,"title":"SEO 7"}}"#,
    ]);
    none_matches(&[
        r#"{"rating":"4"}"#,
        r#"{"featured":1}"#,
        r#"{"title":{"$gt":0}}"#,
        r#"{"rating":{"$lt":"a"}}"#,
        r#"{"image":{"$lt":5}}"#,
        r#"{"big":9007199254740992}"#,
        r#"{"rating":{"$regex":"4"}}"#,
        r#"{"seo":{"title":"SEO 7"}}"#,
    ]);
}

#[test]
fn a_missing_field_matches_no_comparison_and_every_denial_of_one() {
    none_matches(&[
        r#"{"missing":1}"#,
        r#"{"missing":{"$lt":5}}"#,
        r#"{"missing":{"$lte":5}}"#,
        r#"{"missing":{"$gt":-5}}"#,
        r#"{"missing":{"$gte":null}}"#,
        r#"{"missing":{"$in":[1,"",false]}}"#,
        r#"{"missing":{"$regex":""}}"#,
        r#"{"seo.missing":{"$lt":5}}"#,
        r#"{"title.missing":{"$lt":5}}"#,
        r#"{"empty.missing":{"$lt":5}}"#,
        r#"{"missing":{"$exists":true}}"#,
        r#"{"image":{"$exists":false}}"#,
        r#"{"image":{"$ne":null}}"#,
        r#"{"missing":{"$ne":null}}"#,
    ]);
    all_match(&[
        r#"{"missing":{"$ne":5}}"#,
        r#"{"missing":{"$nin":[5]}}"#,
        r#"{"missing":{"$not":{"$gt":5}}}"#,
        r#"{"$nor":[{"missing":5}]}"#,
        r#"{"missing":null}"#,
        r#"{"missing":{"$in":[null]}}"#,
        r#"{"image":null}"#,
        r#"{"missing":{"$exists":false}}"#,
        r#"{"image":{"$exists":1}}"#,
        r#"{"title":{"$ne":null}}"#,
    ]);
}

#[test]
fn paths_go_through_arrays() {
    all_match(&[
        r#"{"tags":"news"}"#,
        r#"{"tags":["news","t7"]}"#,
        r#"{"tags.1":"t7"}"#,
        r#"{"sections.headline":"Two"}"#,
        r#"{"sections.0.headline":"One"}"#,
        r#"{"sections.n":{"$gt":4}}"#,
        r#"{"sections.n":{"$gt":4,"$lt":2}}"#,
        r#"{"sections.image._id":"x"}"#,
        r#"{"sections.image":{"$exists":true}}"#,
        r#"{"sections.image":null}"#,
        r#"{"sections":{"$exists":true}}"#,
        r#"{"empty":{"$exists":true}}"#,
        r#"{"empty":[]}"#,
        r#"{"matrix":[1,2]}"#,
        r#"{"matrix.0":2}"#,
    ]);
    none_matches(&[
        r#"{"tags":["t7","news"]}"#,
        r#"{"tags":{"$ne":"news"}}"#,
        r#"{"tags":{"$nin":["t7"]}}"#,
        r#"{"sections.1.headline":"One"}"#,
        r#"{"sections.2.headline":{"$exists":true}}"#,
        r#"{"sections.headline":{"$not":{"$regex":"T"}}}"#,
        r#"{"matrix":2}"#,
        r#"{"empty":null}"#,
    ]);
}

#[test]
fn logic_is_logic() {
    all_match(&[
        r#"{"$and":[{"rating":4},{"$or":[{"rating":1},{"price":10}]}]}"#,
        r#"{"$nor":[{"rating":1},{"price":11}]}"#,
        r#"{"rating":{"$not":{"$in":[1,2]}}}"#,
    ]);
    none_matches(&[
        r#"{"$and":[{"rating":4},{"price":11}]}"#,
        r#"{"$nor":[{"rating":1},{"price":10}]}"#,
        r#"{"rating":4,"$or":[{"price":11}]}"#,
    ]);
}

#[test]
fn each_mistake_is_named_with_its_place() {
    for (filter, words) in [
        (r#"{"$where":"1"}"#, &["$where", "at the top", "$exists"][..]),
        (r#"{"sections":{"$elemMatch":{"n":1}}}"#, &["$elemMatch", "at sections"]),
        (r#"{"$or":[{"a":1},{"b.c":{"$near":1}}]}"#, &["$near", "$or[1].b.c"]),
        (r#"{"a":{"$not":{"$size":1}}}"#, &["$size", "a.$not"]),
        (r#"{"a":{"$gt":1,"b":2}}"#, &["\"b\"", "at a"]),
        (r#"{"a":{"b":{"$gt":1}}}"#, &["$gt", "a.b", "path"]),
        (r#"{"_id":{"$oid":"x"}}"#, &["$oid"]),
        (r#"{"$and":{}}"#, &["$and", "list"]),
        (r#"{"$or":[]}"#, &["$or", "list"]),
        (r#"{"a":{"$in":1}}"#, &["a.$in", "list"]),
        (r#"{"a":{"$gt":[1]}}"#, &["a.$gt", "number"]),
        (r#"{"a":{"$exists":"yes"}}"#, &["a.$exists", "true or false"]),
        (r#"{"a":{"$not":5}}"#, &["a.$not", "operators"]),
        (r#"{"a":{"$regex":"("}}"#, &["a.$regex", "unclosed"]),
        (r#"{"a":{"$regex":"a","$options":"g"}}"#, &["$options", "i, m, s and x"]),
        (r#"{"a":{"$options":"i"}}"#, &["a.$options", "$regex"]),
        (r#"{"a":{"$regex":"\\w{999}{999}"}}"#, &["a.$regex"]),
        (r#"{"a..b":1}"#, &["a..b"]),
        ("[]", &["object"]),
        ("{_state: 1}", &["JSON", "double quotes"]),
    ] {
        let message = error(filter);
        for word in words {
            assert!(message.contains(word), "{filter}: {message:?} lacks {word:?}");
        }
    }
}

#[test]
fn a_filter_travels_and_is_read_again() {
    let both: Vec<Filter> =
        [r#"{"_state":1}"#, r#"{"rating":{"$gt":3}}"#].map(|text| Filter::parse(text).unwrap()).into();
    assert_eq!(Filter::all(&[]).unwrap(), None);
    assert_eq!(Filter::all(&both[..1]).unwrap().as_ref(), Some(&both[0]));
    let filter = Filter::all(&both).unwrap().unwrap();
    let travelled: Filter = rmp_serde::from_slice(&rmp_serde::to_vec_named(&filter).unwrap()).unwrap();
    assert_eq!(travelled, filter);
    assert!(travelled.matches(&Document::parse(POST.as_bytes()).unwrap()));
    let forged = rmp_serde::to_vec_named(r#"{"$where":"1"}"#).unwrap();
    assert!(rmp_serde::from_slice::<Filter>(&forged).unwrap_err().to_string().contains("$where"));
    let many = format!(r#"{{"$or":[{}{{"a":{{"$regex":"a"}}}}]}}"#, r#"{"a":{"$regex":"a"}},"#.repeat(20));
    assert!(error(&many).contains("regular expressions"));
}

proptest! {
    #[test]
    fn whatever_is_asked_nothing_panics(
        filter in damage::damaged(any_filter(), 2),
        document in "\\{.{0,40}\\}",
    ) {
        if let Ok(read) = Filter::parse(&filter) {
            read.matches(&Document::parse(POST.as_bytes()).unwrap());
            if let Ok(document) = Document::parse(document.as_bytes()) {
                read.matches(&document);
            }
        }
    }

    #[test]
    fn a_denial_is_the_opposite(inner in any_filter()) {
        if let Ok(read) = Filter::parse(&inner) {
            let post = Document::parse(POST.as_bytes()).unwrap();
            let denied = Filter::parse(&format!(r#"{{"$nor":[{inner}]}}"#)).unwrap();
            prop_assert_eq!(read.matches(&post), !denied.matches(&post));
        }
    }
}

/// Filters that are nearly all sound, on fields that the post has.
fn any_filter() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        Just("null".to_owned()),
        Just("true".to_owned()),
        "[a-z]{0,3}".prop_map(|text| format!("{text:?}")),
    ];
    let value = leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(","))),
            ("\\$?[a-z0-2]{1,2}", inner).prop_map(|(key, value)| format!("{{{key:?}:{value}}}")),
        ]
    });
    let operator = prop::sample::select(
        "$eq $ne $gt $gte $lt $lte $in $nin $exists $regex $not $options $size".split(' ').collect::<Vec<_>>(),
    );
    let path = prop::sample::select(vec![
        "rating",
        "tags",
        "sections.n",
        "sections.0",
        "seo.title",
        "matrix.1",
        "image",
        "x.y",
    ]);
    let at =
        (path, operator, value).prop_map(|(path, operator, value)| format!("{{{path:?}:{{{operator:?}:{value}}}}}"));
    at.prop_recursive(3, 12, 3, |inner| {
        let logic = prop::sample::select(vec!["$and", "$or", "$nor"]);
        (logic, proptest::collection::vec(inner, 1..3))
            .prop_map(|(logic, parts)| format!("{{{logic:?}:[{}]}}", parts.join(",")))
    })
}
