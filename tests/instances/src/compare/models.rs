//! Models, compared as PHP itself reads them; without PHP, as text that is freed of what means nothing. Those that are rows
//! are read as the JSON they are, and have an `_id` that files do not have.

use super::Rules;
use super::report::{Comparison, Found};
use super::values::first_difference;
use crate::edit::parse;
use crate::php::model_file;
use crate::storage;
use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use std::process::Command;

const RESOURCE: &str = "models";
const SUFFIX: &str = ".model.php";
/// The key under which the reader gives the cause when PHP cannot read a model.
const UNREADABLE: &str = "(unreadable)";
const READER: &str = r"
$models = [];
foreach (glob($argv[1] . '/*.model.php') as $file) {
    try { $model = include $file; } catch (\Throwable $e) { $model = ['(unreadable)' => $e->getMessage()]; }
    $models[basename($file, '.model.php')] = $model;
}
echo json_encode((object) $models, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR);
";

pub fn compare(a: &Path, b: &Path, rules: &Rules, comparison: &mut Comparison) -> Result<()> {
    let (mut of_a, mut of_b) = match (read_by_php(a)?, read_by_php(b)?) {
        (Some(of_a), Some(of_b)) => (of_a, of_b),
        _ => (read_as_text(a, rules)?, read_as_text(b, rules)?),
    };
    for (side, models) in [("a", &mut of_a), ("b", &mut of_b)] {
        for (name, model) in models {
            let Value::Object(members) = model else { continue };
            if let Some(cause) = members.get(UNREADABLE) {
                comparison.add(RESOURCE, name, Found::Broken(format!("in {side} php says {cause}")));
            }
            members.retain(|key, _| !rules.ignored.contains(key));
        }
    }
    for (name, model) in &of_a {
        comparison.compared += 1;
        match of_b.get(name) {
            None => comparison.add(RESOURCE, name, Found::OnlyInA),
            Some(other) => {
                if let Some(how) = first_difference(model, other) {
                    comparison.add(RESOURCE, name, Found::Differs(how));
                }
            }
        }
    }
    for name in of_b.keys().filter(|name| !of_a.contains_key(*name)) {
        comparison.compared += 1;
        comparison.add(RESOURCE, name, Found::OnlyInB);
    }
    Ok(())
}

/// The models of an instance whose config keeps them in the database.
fn read_rows(root: &Path) -> Result<Option<Map<String, Value>>> {
    let config = fs::read_to_string(root.join("config/config.php")).unwrap_or_default();
    if !config.contains("'storage' => 'database'") {
        return Ok(None);
    }
    let mut models = Map::new();
    let place = storage::place("content/models");
    if let Some(connection) = storage::open_existing(root, &place.file)? {
        for row in storage::rows(&connection, &place.table)? {
            let mut model = parse(&row.text)?;
            let members = model.as_object_mut().context("a model that is no object")?;
            let has_id = members.remove("_id").is_some();
            anyhow::ensure!(has_id, "a model without _id: Cockpit adds a second row when it saves that");
            models.insert(model["name"].as_str().unwrap_or_default().to_owned(), model);
        }
    }
    Ok(Some(models))
}

/// Nothing when there is no PHP.
fn read_by_php(root: &Path) -> Result<Option<Map<String, Value>>> {
    if let Some(rows) = read_rows(root)? {
        return Ok(Some(rows));
    }
    let directory = root.join("storage/content");
    let Ok(output) = Command::new("php").args(["-n", "-r", READER, "--"]).arg(&directory).output() else {
        return Ok(None);
    };
    anyhow::ensure!(output.status.success(), "php: {}", String::from_utf8_lossy(&output.stderr));
    let read = parse(std::str::from_utf8(&output.stdout)?)
        .with_context(|| format!("what php said about {}", directory.display()))?;
    Ok(read.as_object().cloned())
}

fn read_as_text(root: &Path, rules: &Rules) -> Result<Map<String, Value>> {
    let mut models = Map::new();
    if let Some(rows) = read_rows(root)? {
        let as_text = |model: &Value| Value::String(plain_text(&model_file(model), &rules.ignored));
        return Ok(rows.iter().map(|(name, model)| (name.clone(), as_text(model))).collect());
    }
    let directory = root.join("storage/content");
    if !directory.exists() {
        return Ok(models);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(model) = name.strip_suffix(SUFFIX) {
            models.insert(model.to_owned(), Value::String(plain_text(&fs::read_to_string(&path)?, &rules.ignored)));
        }
    }
    Ok(models)
}

/// Without blanks, commas before brackets, numbers that list members have anyhow and upper case outside of strings, and
/// without ignored keys whose values are numbers.
fn plain_text(php: &str, ignored: &[String]) -> String {
    let mut text = String::with_capacity(php.len());
    let mut characters = php.chars();
    let mut in_string = false;
    // Of each bracket that is open: which member this is.
    let mut members: Vec<usize> = Vec::new();
    while let Some(character) = characters.next() {
        if in_string && character == '\\' {
            text.push(character);
            text.extend(characters.next());
            continue;
        }
        if character == '\'' {
            in_string = !in_string;
        }
        if in_string || !character.is_whitespace() {
            text.extend(if in_string { vec![character] } else { character.to_lowercase().collect() });
        }
        if in_string {
            continue;
        }
        match (character, members.last_mut()) {
            ('[', _) => members.push(0),
            (']', _) => drop(members.pop()),
            (',', Some(member)) => *member += 1,
            ('>', Some(member)) => {
                let number = format!("{member}=>");
                if let Some(before) = text.strip_suffix(&number).filter(|before| before.ends_with(['[', ','])) {
                    text.truncate(before.len());
                }
            }
            _ => {}
        }
    }
    for key in ignored {
        let start = format!("'{key}'=>");
        while let Some(at) = text.find(&start) {
            let rest = &text[at + start.len()..];
            let digits = rest.chars().take_while(char::is_ascii_digit).count();
            let comma = usize::from(rest[digits..].starts_with(','));
            text.replace_range(at..at + start.len() + digits + comma, "");
        }
    }
    text.replace(",]", "]")
}

#[cfg(test)]
mod tests {
    use super::plain_text;

    #[test]
    fn text_that_means_the_same_reads_the_same() {
        let ignored = ["_modified".to_owned()];
        let a = plain_text(
            "<?php\n return [\n  'name' => 'It\\'s A',\n  'list' => [\n 0 => '1 => 2',\n],  'meta' => NULL,\n  '_modified' => 17,\n];",
            &ignored,
        );
        let b =
            plain_text("<?php return ['name'=>'It\\'s A','list'=>['1 => 2'],'meta'=>null,'_modified'=>9];", &ignored);
        let other =
            plain_text("<?php return ['name'=>'It\\'s A','list'=>['2'],'meta'=>null,'_modified'=>9];", &ignored);
        assert_eq!(a, b);
        assert_ne!(a, other);
        let plain = |php| plain_text(php, &ignored);
        assert_eq!(plain("[0 => ['x'], 1 => [0 => 1, 1 => 2]]"), plain("[['x'], [1, 2,],]"));
        assert_ne!(plain("[1 => 'x', 0 => 'y']"), plain("['x', 'y']"));
    }
}
