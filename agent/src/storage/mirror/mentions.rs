//! Where anything on this instance mentions an asset or its file: then it is not deleted.
//!
//! Every table of every file is read as text, whatever it is for, and the models too: a link in a text field says as much as
//! a field for assets. Files are looked for by name, which Cockpit never gives twice, so that it is no matter how slashes
//! are written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use aho_corasick::AhoCorasick;
use protocol::canonical::Document;
use protocol::collection::Collection;
use rusqlite::Connection;

use crate::storage::Storage;
use crate::storage::analysis::bytes_of;
use crate::storage::fault::{Answer, At};
use crate::storage::place::MEMORY_FILE;
use protocol::api::{AgentError, ErrorCode};

/// Rows that are read under one lock.
const PAGE: usize = 500;
/// Old versions and records of what happened: nobody is shown anything from there.
const PAST: [&str; 2] = ["revisions", "log"];

/// An asset, or a file that no asset has any more.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub asset: Option<String>,
    /// As in its row.
    pub path: Option<String>,
}

impl Wanted {
    pub fn file(path: String) -> Self {
        Self { asset: None, path: Some(path) }
    }
}

/// What was found.
pub(super) struct Mentions {
    /// Where each is mentioned, in words; none where it is not.
    pub found: Vec<Option<String>>,
    pub searched: Searched,
}

/// The files that were searched, and in which state.
#[derive(Default)]
pub(super) struct Searched(Vec<(String, u64)>);

/// What is looked for in every document.
struct Search<'w> {
    wanted: &'w [Wanted],
    words: AhoCorasick,
    /// Which of `wanted` each word is of.
    owners: Vec<usize>,
    /// Where each was found, in words.
    found: Vec<Option<String>>,
}

impl Storage {
    /// Looks for each of these in everything that is stored.
    pub(super) fn mentions(&self, wanted: &[Wanted]) -> Answer<Mentions> {
        let mut search = Search::new(wanted)?;
        let mut searched = Vec::new();
        let assets = self.table(&Collection::Assets)?;
        for file in self.sqlite_files()? {
            searched.push((file.clone(), self.locked(&*self.database(&file)?)?.generation()));
            for table in self.document_tables(&file)? {
                let is_of_assets = (file.as_str(), table.as_str()) == (assets.file.as_str(), assets.name.as_str());
                self.search_table(&file, &table, is_of_assets, &mut search)?;
            }
        }
        let models = self.layout.models();
        for name in names_in(&models)? {
            let path = models.join(&name);
            if let Ok(bytes) = fs::read(&path) {
                search.look_at(&bytes, None, || format!("the file {name}"));
            }
        }
        Ok(Mentions { found: search.found, searched: Searched(searched) })
    }

    /// Whether all that was searched is as it was then.
    pub(super) fn nobody_wrote_since(&self, searched: &Searched) -> Answer<bool> {
        if self.sqlite_files()?.len() != searched.0.len() {
            return Ok(false);
        }
        for (file, generation) in &searched.0 {
            if self.locked(&*self.database(file)?)?.generation() != *generation {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sqlite_files(&self) -> Answer<Vec<String>> {
        let names = names_in(&self.layout.data)?;
        Ok(names.into_iter().filter(|name| name.ends_with(".sqlite") && name != MEMORY_FILE).collect())
    }

    fn document_tables(&self, file: &str) -> Answer<Vec<String>> {
        let database = self.database(file)?;
        let mut locked = self.locked(&database)?;
        let Some(open) = locked.open() else { return Ok(Vec::new()) };
        let tables = tables_of(&open.connection).at(&database.path)?;
        Ok(tables.into_iter().filter(|table| !PAST.contains(&table.as_str())).collect())
    }

    fn search_table(&self, file: &str, table: &str, is_of_assets: bool, search: &mut Search<'_>) -> Answer<()> {
        let database = self.database(file)?;
        let sql = format!(
            "SELECT rowid, document FROM \"{}\" WHERE rowid > ?1 ORDER BY rowid LIMIT {PAGE}",
            table.replace('"', "\"\"")
        );
        let mut after = Some(0_i64);
        while let Some(from) = after.filter(|_| search.is_wanted()) {
            let mut locked = self.locked(&database)?;
            let Some(open) = locked.open() else { return Ok(()) };
            let mut statement = open.connection.prepare_cached(&sql).at(&database.path)?;
            let mut rows = statement.query([from]).at(&database.path)?;
            let (mut last, mut count) = (from, 0);
            while let Some(row) = rows.next().at(&database.path)? {
                last = row.get(0).at(&database.path)?;
                count += 1;
                let Some(bytes) = bytes_of(row.get_ref(1).at(&database.path)?) else { continue };
                let in_row = || {
                    let document = Document::parse(bytes).ok();
                    document.and_then(|document| Some(document.text("_id")?.to_owned()))
                };
                search.look_at(bytes, is_of_assets.then_some(&in_row), || {
                    let which = in_row().map_or_else(|| format!("row {last}"), |id| format!("document {id}"));
                    format!("{which} in {table} of {file}")
                });
            }
            after = (count == PAGE).then_some(last);
        }
        Ok(())
    }
}

impl<'w> Search<'w> {
    fn new(wanted: &'w [Wanted]) -> Answer<Self> {
        let (mut words, mut owners) = (Vec::new(), Vec::new());
        for (owner, wanted) in wanted.iter().enumerate() {
            let name = wanted.path.as_deref().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty());
            let spellings = [wanted.asset.as_deref(), name].into_iter().flatten().flat_map(spellings);
            for word in spellings {
                words.push(word);
                owners.push(owner);
            }
        }
        let words = AhoCorasick::new(&words)
            .map_err(|error| AgentError::new(ErrorCode::Internal, format!("a search for assets: {error}")))?;
        Ok(Self { wanted, words, owners, found: vec![None; wanted.len()] })
    }

    /// Whether there is anything left to look for.
    fn is_wanted(&self) -> bool {
        self.found.iter().any(Option::is_none)
    }

    /// `own` tells, within the assets' own table, whose row it is: that an asset mentions itself is no matter.
    fn look_at(&mut self, text: &[u8], own: Option<&dyn Fn() -> Option<String>>, place: impl Fn() -> String) {
        for hit in self.words.find_overlapping_iter(text) {
            let owner = self.owners[hit.pattern().as_usize()];
            if self.found[owner].is_some() {
                continue;
            }
            let is_itself = own.is_some_and(|own| own().is_some() && own() == self.wanted[owner].asset);
            if !is_itself {
                self.found[owner] = Some(place());
            }
        }
    }
}

/// How a name may stand in a stored text: as it is, escaped as PHP does, or within a URL.
fn spellings(name: &str) -> BTreeSet<String> {
    let json = serde_json::Value::from(name).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let escaped: String = json
        .chars()
        .map(|character| match character {
            character if character.is_ascii() => character.to_string(),
            character => character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        })
        .collect();
    let in_url = |hex: fn(u8) -> String| -> String {
        let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        name.bytes().map(|byte| if unreserved(&byte) { char::from(byte).to_string() } else { hex(byte) }).collect()
    };
    let in_urls = [in_url(|byte| format!("%{byte:02X}")), in_url(|byte| format!("%{byte:02x}"))];
    [name.to_owned(), json, escaped].into_iter().chain(in_urls).collect()
}

/// Tables with documents in them.
fn tables_of(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master AS tables WHERE type = 'table'
               AND EXISTS (SELECT 1 FROM pragma_table_info(tables.name) WHERE name = 'document')";
    connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn names_in(directory: &Path) -> Answer<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at(directory),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.at(directory)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let spelled = spellings("größe 1.jpg");
        for text in ["größe 1.jpg", "gr\\u00f6\\u00dfe 1.jpg", "gr%C3%B6%C3%9Fe%201.jpg", "gr%c3%b6%c3%9fe%201.jpg"] {
            assert!(spelled.contains(text), "{text} is not among {spelled:?}");
        }
        assert_eq!(spellings("a_uid_6b02.png").len(), 1);
    }
}
