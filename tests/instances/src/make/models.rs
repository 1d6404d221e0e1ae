//! The models, as files and in the cache, and the singletons, which are one row each.

use super::{Making, system, with_models_in_database};
use crate::ids::MADE_AT;
use crate::php::model_file;
use crate::php_json::to_php_json;
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::fs;

pub fn singleton_names(count: usize) -> Vec<String> {
    (1..=count).map(|number| if number == 1 { "settings".to_owned() } else { format!("settings{number}") }).collect()
}

pub fn write_models(making: &mut Making<'_>, singletons: &[String]) -> Result<()> {
    let mut models = vec![authors(), pages_tree(), posts()];
    models.extend(singletons.iter().map(|name| settings(name)));
    let mut cached = Map::new();
    let mut rows = Vec::new();
    for mut model in models {
        let name = model["name"].as_str().expect("every model has a name").to_owned();
        if making.shape.models_in_database {
            model["_id"] = json!(making.ids.next());
            rows.push(to_php_json(&model));
        } else {
            let path = making.root.join("storage/content").join(format!("{name}.model.php"));
            fs::write(path, model_file(&model))?;
        }
        cached.insert(name, model);
    }
    if making.shape.models_in_database {
        with_models_in_database(making.root)?;
        making.insert("content/models", rows.into_iter())?;
    }
    if making.shape.cached {
        system::write_cached(making.root, "content.models", &Value::Object(cached))?;
    }
    Ok(())
}

pub fn write_singletons(making: &mut Making<'_>, singletons: &[String], assets: &[Value]) -> Result<()> {
    let mut rows = Vec::new();
    for name in singletons {
        let mut document = json!({"siteName": "Rig"});
        for locale in &making.shape.locales {
            document[format!("siteName_{locale}")] = json!("Prüfstand");
        }
        let logo = assets.iter().find(|asset| asset["type"] == "image");
        document["logo"] = logo.cloned().unwrap_or(Value::Null);
        document["maintenance"] = json!(false);
        document["social"] = json!([{"network": "x", "url": "https://x.com/rig"}]);
        document["_model"] = json!(name);
        finish(making, &mut document, 1);
        rows.push(to_php_json(&document));
    }
    making.insert("content/singletons", rows.into_iter())
}

/// The keys that Cockpit puts at the end of every item. A tree's `_pid` and `_o` come before.
pub fn finish(making: &mut Making<'_>, document: &mut Value, state: i64) -> String {
    let id = making.ids.next();
    document["_state"] = json!(state);
    document["_modified"] = json!(MADE_AT);
    document["_mby"] = json!(making.user);
    document["_created"] = json!(MADE_AT);
    document["_cby"] = json!(making.user);
    document["_id"] = json!(id);
    id
}

/// An image to embed: the whole document of some asset.
pub fn embedded(assets: &[Value], number: usize) -> Value {
    let images: Vec<&Value> = assets.iter().filter(|asset| asset["type"] == "image").collect();
    if images.is_empty() { Value::Null } else { images[number % images.len()].clone() }
}

fn field(name: &str, kind: &str) -> Value {
    json!({
        "name": name, "type": kind, "label": "", "info": "", "group": "", "i18n": false, "required": false,
        "multiple": false, "meta": [], "opts": [],
    })
}

fn with(mut field: Value, key: &str, value: Value) -> Value {
    field[key] = value;
    field
}

fn localised(name: &str, kind: &str) -> Value {
    with(field(name, kind), "i18n", json!(true))
}

fn linked(name: &str, model: &str) -> Value {
    with(field(name, "contentItemLink"), "opts", json!({"link": model}))
}

fn set(name: &str, fields: &[Value]) -> Value {
    with(field(name, "set"), "opts", json!({"fields": fields}))
}

fn repeated(field: Value) -> Value {
    with(field, "multiple", json!(true))
}

fn model(name: &str, label: &str, kind: &str, group: &str, fields: &[Value]) -> Value {
    json!({
        "name": name, "label": label, "info": "", "type": kind, "fields": fields, "preview": [], "group": group,
        "meta": null, "_created": MADE_AT, "_modified": MADE_AT,
    })
}

fn authors() -> Value {
    let links = repeated(set("links", &[field("label", "text"), field("url", "text")]));
    let name = with(field("name", "text"), "required", json!(true));
    let fields = [name, field("email", "text"), localised("bio", "wysiwyg"), field("avatar", "asset"), links];
    let authors = model("authors", "Authors", "collection", "Blog", &fields);
    with(with(authors, "color", json!("#55aa88")), "revisions", json!(false))
}

fn posts() -> Value {
    let seo = [field("title", "text"), field("description", "text"), field("noindex", "boolean")];
    let sections = [field("headline", "text"), field("text", "text"), field("image", "asset")];
    let fields = [
        with(localised("title", "text"), "required", json!(true)),
        field("slug", "text"),
        with(localised("excerpt", "text"), "opts", json!({"multiline": true})),
        with(field("body", "code"), "opts", json!({"mode": "markdown"})),
        with(field("featured", "boolean"), "opts", json!({"default": false})),
        field("rating", "number"),
        field("price", "number"),
        field("published", "date"),
        field("image", "asset"),
        linked("author", "authors"),
        repeated(linked("related", "posts")),
        field("tags", "tags"),
        set("seo", &seo),
        repeated(set("sections", &sections)),
        field("extra", "object"),
    ];
    let posts = model("posts", "Posts", "collection", "Blog", &fields);
    with(with(posts, "color", json!("#4466ee")), "revisions", json!(true))
}

fn pages_tree() -> Value {
    let fields =
        [localised("title", "text"), field("slug", "text"), localised("content", "wysiwyg"), linked("post", "posts")];
    model("pagestree", "Pages", "tree", "Site", &fields)
}

fn settings(name: &str) -> Value {
    let social = repeated(set("social", &[field("network", "text"), field("url", "text")]));
    let fields = [localised("siteName", "text"), field("logo", "asset"), field("maintenance", "boolean"), social];
    model(name, "Settings", "singleton", "Site", &fields)
}
