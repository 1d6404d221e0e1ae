//! Authors: short documents, some with a picture.

use super::Making;
use super::models::{embedded, finish};
use crate::php_json::to_php_json;
use anyhow::Result;
use serde_json::{Value, json};

pub fn write_authors(making: &mut Making<'_>, assets: &[Value]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut rows = Vec::new();
    for number in 0..making.shape.authors {
        let mut author = json!({
            "name": format!("Author {number} Müller/Ø"),
            "email": format!("a{number}@example.com"),
            "bio": format!("<p>Bio {number} \"quoted\" &amp; slash / back\\slash</p>"),
        });
        for locale in &making.shape.locales {
            author[format!("bio_{locale}")] = json!(format!("<p>Über Autor {number} 🚀</p>"));
        }
        author["avatar"] = if number % 4 == 1 { embedded(assets, number) } else { Value::Null };
        author["links"] = json!([{"label": "web", "url": format!("https://example.com/a/{number}")}]);
        ids.push(finish(making, &mut author, 1));
        rows.push(to_php_json(&author));
    }
    making.insert("content/collections/authors", rows.into_iter())?;
    Ok(ids)
}
