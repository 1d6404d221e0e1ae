//! PHP array literals as Cockpit's `var_export` writes them: the text of a model file and of config.php.

use serde_json::Value;

/// The text of `storage/content/{name}.model.php`.
pub fn model_file(model: &Value) -> String {
    format!("<?php\n return {};", array_literal(model))
}

/// Two blanks a level, numeric keys written out, `NULL`, single-quoted strings.
pub fn array_literal(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    text
}

fn write_value(text: &mut String, value: &Value, level: usize) {
    match value {
        Value::Null => text.push_str("NULL"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => write_quoted(text, string),
        Value::Array(values) => {
            let members = values.iter().enumerate().map(|(index, element)| (index.to_string(), element));
            write_members(text, members, level);
        }
        Value::Object(members) => {
            let quoted = members.iter().map(|(key, member)| {
                let mut name = String::new();
                write_quoted(&mut name, key);
                (name, member)
            });
            write_members(text, quoted, level);
        }
    }
}

fn write_members<'a>(text: &mut String, members: impl Iterator<Item = (String, &'a Value)>, level: usize) {
    text.push_str("[\n");
    for (key, member) in members {
        text.push_str(&"  ".repeat(level + 1));
        text.push_str(&key);
        text.push_str(" => ");
        write_value(text, member, level + 1);
        text.push_str(",\n");
    }
    text.push_str(&"  ".repeat(level));
    text.push(']');
}

fn write_quoted(text: &mut String, string: &str) {
    text.push('\'');
    text.push_str(&string.replace('\\', "\\\\").replace('\'', "\\'"));
    text.push('\'');
}

#[cfg(test)]
mod tests {
    use super::model_file;
    use serde_json::json;

    #[test]
    fn a_model_looks_as_cockpit_writes_it() {
        let model =
            json!({"name": "it's\\", "fields": [{"required": true}], "meta": null, "preview": [], "_created": 1});
        let expected = "<?php\n return [\n  'name' => 'it\\'s\\\\',\n  'fields' => [\n    0 => [\n      'required' => true,\n    ],\n  ],\n  'meta' => NULL,\n  'preview' => [\n  ],\n  '_created' => 1,\n];";
        assert_eq!(model_file(&model), expected);
    }
}
