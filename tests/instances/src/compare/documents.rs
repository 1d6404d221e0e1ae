//! Every document of both instances, found by what names it and compared by value.

use super::Rules;
use super::copies::Copies;
use super::report::{Comparison, Found};
use super::values::first_difference;
use crate::edit::parse;
use crate::storage::{self, Place, Row};
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What names a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    ById,
    /// Singletons and locales that were made apart have different ids.
    By(&'static str),
}

const COLLECTIONS: &[(&str, Named)] = &[
    ("content/singletons", Named::By("_model")),
    ("assets", Named::ById),
    ("assets/folders", Named::ById),
    ("system/locales", Named::By("i18n")),
    ("lokalize/projects", Named::ById),
    ("pages", Named::ById),
    ("pages/menus", Named::ById),
    ("layout/components", Named::ById),
];
const CONTENT_FILE: &str = "content.sqlite";
const CONTENT_TABLES: &str = "collections_";

pub fn compare(a: &Path, b: &Path, rules: &Rules, comparison: &mut Comparison) -> Result<()> {
    let copies = if rules.refreshed_copies { Some(Copies::of(a)?) } else { None };
    for (collection, named) in COLLECTIONS {
        let place = storage::place(collection);
        Pair { collection, place: &place, named: *named, rules, copies: copies.as_ref() }.compare(a, b, comparison)?;
    }
    for table in content_tables(a)?.union(&content_tables(b)?) {
        let place = Place { file: CONTENT_FILE.to_owned(), table: table.clone() };
        let collection = format!("content/collections/{}", &table[CONTENT_TABLES.len()..]);
        let pair = Pair { collection: &collection, place: &place, named: Named::ById, rules, copies: copies.as_ref() };
        pair.compare(a, b, comparison)?;
    }
    Ok(())
}

fn content_tables(root: &Path) -> Result<BTreeSet<String>> {
    let Some(connection) = storage::open_existing(root, CONTENT_FILE)? else { return Ok(BTreeSet::new()) };
    let tables = storage::tables(&connection)?;
    Ok(tables.into_iter().filter(|table| table.starts_with(CONTENT_TABLES)).collect())
}

/// One collection in both instances.
struct Pair<'a> {
    collection: &'a str,
    place: &'a Place,
    named: Named,
    rules: &'a Rules,
    copies: Option<&'a Copies>,
}

impl Pair<'_> {
    fn compare(&self, a: &Path, b: &Path, comparison: &mut Comparison) -> Result<()> {
        let of_a = self.read(a, "a", comparison)?;
        let mut of_b = self.read(b, "b", comparison)?;
        for (name, text) in of_a {
            comparison.compared += 1;
            match of_b.remove(&name) {
                None => comparison.add(self.collection, &name, Found::OnlyInA),
                Some(other) => {
                    if let Some(how) = self.difference(&text, &other)? {
                        comparison.add(self.collection, &name, Found::Differs(how));
                    }
                }
            }
        }
        for name in of_b.keys() {
            comparison.compared += 1;
            comparison.add(self.collection, name, Found::OnlyInB);
        }
        Ok(())
    }

    /// Documents by name; of a doubled name the lowest row id counts, as it does for Cockpit's `findOne`.
    fn read(&self, root: &Path, side: &str, comparison: &mut Comparison) -> Result<BTreeMap<String, String>> {
        let mut documents = BTreeMap::new();
        let Some(connection) = storage::open_existing(root, &self.place.file)? else { return Ok(documents) };
        for Row { id, text } in storage::rows(&connection, &self.place.table)? {
            let Some(name) = parse(&text).ok().and_then(|document| self.name_of(&document)) else {
                let how = format!("in {side} no document that can be named");
                comparison.add(self.collection, &format!("row {id}"), Found::Broken(how));
                continue;
            };
            if documents.contains_key(&name) {
                comparison.note(format!("{side}: {} {name} stands in row {id} once more", self.collection));
                continue;
            }
            documents.insert(name, text);
        }
        Ok(documents)
    }

    fn name_of(&self, document: &Value) -> Option<String> {
        let key = match self.named {
            Named::ById => "_id",
            Named::By(key) => key,
        };
        document.get(key)?.as_str().map(str::to_owned)
    }

    fn difference(&self, a: &str, b: &str) -> Result<Option<String>> {
        if a == b && self.copies.is_none() {
            return Ok(None);
        }
        let (mut left, mut right) = (parse(a)?, parse(b)?);
        if let Some(copies) = self.copies {
            copies.refresh_inside(&mut left);
            copies.reduce_inside(&mut right);
        }
        for document in [&mut left, &mut right] {
            let Value::Object(members) = document else { continue };
            members.retain(|key, _| !self.is_ignored(key));
        }
        Ok(first_difference(&left, &right))
    }

    fn is_ignored(&self, key: &str) -> bool {
        self.rules.ignored.iter().any(|ignored| ignored == key) || (key == "_id" && self.named != Named::ById)
    }
}
