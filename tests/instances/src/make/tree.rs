//! A nested tree: `_pid` names the parent, `_o` counts the children of one parent.

use super::Making;
use super::models::finish;
use crate::php_json::to_php_json;
use crate::random::Random;
use anyhow::Result;
use serde_json::{Value, json};

pub fn write_tree(making: &mut Making<'_>, posts: &[String]) -> Result<Vec<String>> {
    let mut random = Random::for_part(making.shape.seed, "tree");
    let mut nodes: Vec<(String, String)> = Vec::new();
    let mut children = vec![0_usize; making.shape.tree_nodes + 1];
    for number in 0..making.shape.tree_nodes {
        let parent = if number % 10 == 0 { None } else { Some(random.below(number)) };
        let order = &mut children[parent.map_or(0, |parent| parent + 1)];
        let mut node = json!({"title": format!("Page {number}")});
        for locale in &making.shape.locales {
            node[format!("title_{locale}")] = json!(format!("Seite {number}"));
        }
        node["slug"] = json!(format!("page-{number}"));
        node["content"] = json!(format!("<p>Page {number}</p>"));
        for locale in &making.shape.locales {
            node[format!("content_{locale}")] = Value::Null;
        }
        let linked = number % 7 == 0 && !posts.is_empty();
        node["post"] = if linked { json!({"_model": "posts", "_id": random.pick(posts)}) } else { Value::Null };
        node["_state"] = json!(1);
        node["_pid"] = parent.map_or(Value::Null, |parent: usize| json!(nodes[parent].0));
        node["_o"] = json!(*order);
        *order += 1;
        let id = finish(making, &mut node, 1);
        nodes.push((id, to_php_json(&node)));
    }
    // As after an editor moved pages: now and then a child stands before its parent.
    for pair in nodes.chunks_exact_mut(2).step_by(3) {
        pair.swap(0, 1);
    }
    let (ids, rows): (Vec<String>, Vec<String>) = nodes.into_iter().unzip();
    making.insert("content/collections/pagestree", rows.into_iter())?;
    Ok(ids)
}
