//! Posts: the bulk of an instance, with every kind of value a document can hold.

use super::Making;
use super::models::{embedded, finish};
use super::words;
use crate::php_json::to_php_json;
use crate::random::Random;
use crate::storage;
use anyhow::Result;
use serde_json::{Value, json};

const PRICES: [f64; 8] = [10.0, 9.99, 0.1, 1e20, 1e-7, -0.5, 123_456.789, 1.0];
const BIG: [i64; 4] = [9_007_199_254_740_993, i64::MAX, i64::MIN, -1];
/// Rows held in memory at once.
const CHUNK: usize = 2000;

pub fn write_posts(making: &mut Making<'_>, authors: &[String], assets: &[Value]) -> Result<Vec<String>> {
    let mut random = Random::for_part(making.shape.seed, "posts");
    let place = storage::place("content/collections/posts");
    let mut connection = storage::open(making.root, &place.file)?;
    storage::create_table(&connection, &place.table)?;
    let mut ids: Vec<String> = Vec::with_capacity(making.shape.posts);
    while ids.len() < making.shape.posts {
        let mut rows = Vec::new();
        while rows.len() < CHUNK && ids.len() < making.shape.posts {
            let mut post = post(making, &mut random, &ids, authors, assets);
            let state = match random.below(20) {
                0 => 0,
                1 => -1,
                _ => 1,
            };
            ids.push(finish(making, &mut post, state));
            rows.push(to_php_json(&post));
        }
        storage::insert_all(&mut connection, &place.table, rows.into_iter())?;
    }
    Ok(ids)
}

fn post(making: &Making<'_>, random: &mut Random, earlier: &[String], authors: &[String], assets: &[Value]) -> Value {
    let number = earlier.len();
    let locales = &making.shape.locales;
    let mut post = json!({"title": format!("Post {number} – größer & größer")});
    for locale in locales {
        post[format!("title_{locale}")] = json!(format!("Beitrag {number}"));
    }
    post["slug"] = json!(format!("post-{number}"));
    post["excerpt"] = json!(words::text(random, 60));
    for locale in locales {
        // Not everything is translated.
        let translated = if number.is_multiple_of(3) { Value::Null } else { json!(format!("Auszug {number}")) };
        post[format!("excerpt_{locale}")] = translated;
    }
    let text = words::text(random, making.shape.body_bytes.saturating_sub(45));
    post["body"] = json!(format!("# Heading {number}\n\n{text}\n\n* a/b\n* `code`\u{2028}\n"));
    post["featured"] = json!(number % 2 == 1);
    post["rating"] = json!(number % 6);
    post["price"] = json!(PRICES[number % PRICES.len()]);
    post["published"] = json!(format!("2024-{:02}-{:02}", 1 + number % 12, 1 + number % 28));
    post["image"] = if number.is_multiple_of(5) { embedded(assets, random.below(assets.len())) } else { Value::Null };
    post["author"] = link("authors", authors, random);
    post["related"] = (0..random.below(4)).map(|_| link("posts", earlier, random)).filter(|l| !l.is_null()).collect();
    post["tags"] = json!(["news", format!("t{}", number % 50)]);
    post["seo"] = match number % 4 {
        0 => json!([]),
        _ => json!({"title": format!("SEO {number}"), "description": null, "noindex": number % 8 == 1}),
    };
    post["sections"] = sections(random, number, assets);
    post["extra"] = extra(number);
    post
}

fn link(model: &str, ids: &[String], random: &mut Random) -> Value {
    if ids.is_empty() {
        return Value::Null;
    }
    json!({"_model": model, "_id": random.pick(ids)})
}

fn sections(random: &mut Random, number: usize, assets: &[Value]) -> Value {
    let count = if number % 3 == 1 { 1 + random.below(3) } else { 0 };
    let section = |index: usize| {
        let image = if (number + index).is_multiple_of(2) { embedded(assets, number / 3 + index) } else { Value::Null };
        json!({"headline": format!("H{number}.{index}"), "text": "x/y", "image": image})
    };
    (0..count).map(section).collect()
}

fn extra(number: usize) -> Value {
    match number % 3 {
        0 => Value::Null,
        1 => json!({
            "n": 1, "f": 1.5, "big": BIG[number % BIG.len()], "list": [], "nested": {"a": {"b": null}}, "count": number,
        }),
        _ => {
            json!({"list": [[1, 2.5, "3"], {"k": [{}]}], "huge": 1e20, "": "empty key", "nested": {"a": {"b": number}}})
        }
    }
}
