//! YAML as JSON values: aliases stand for what they mean, and `<<` is merged, as docker-compose does.

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// The documents of a file.
pub fn documents(text: &str) -> Vec<Value> {
    YamlLoader::load_from_str(text).unwrap().iter().map(value).collect()
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(is_so) => (*is_so).into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Real(number) => number.parse::<f64>().unwrap().into(),
        Yaml::String(text) => text.as_str().into(),
        Yaml::Array(items) => items.iter().map(value).collect(),
        Yaml::Hash(entries) => {
            let mut map = Map::new();
            for (key, entry) in entries {
                match (key.as_str().unwrap(), value(entry)) {
                    ("<<", Value::Object(merged)) => merged.into_iter().for_each(|(key, entry)| {
                        map.entry(key).or_insert(entry);
                    }),
                    (key, entry) => drop(map.insert(key.to_owned(), entry)),
                }
            }
            map.into()
        }
        Yaml::Alias(_) | Yaml::BadValue => panic!("no YAML: {yaml:?}"),
    }
}

#[test]
fn what_is_merged_gives_way_to_what_is_said() {
    let read = documents("a: &a { x: 1, y: 2 }\nb: { <<: *a, y: 3 }\n---\nc: [1.5, yes, ~]");
    assert_eq!(read[0]["b"], serde_json::json!({ "x": 1, "y": 3 }));
    assert_eq!(read[1]["c"], serde_json::json!([1.5, "yes", null]));
}
