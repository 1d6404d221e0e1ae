//! Which settings select something that is not served, and what is said about it.

use std::path::{Component, Path, PathBuf};

use super::expression::{Entry, Located, Setting};
use super::lookup::{self, Lookup};
use super::{CONFIG, CockpitConfig};
use crate::php::PhpValue;

const LOCAL_ADAPTER: &str = "League\\Flysystem\\Local\\LocalFilesystemAdapter";
const CANNOT_TELL: &str = "cockpit-sync cannot tell which storage that selects";

pub(super) struct Judgement<'c> {
    pub root: &'c Path,
    pub config: &'c mut CockpitConfig,
}

impl Judgement<'_> {
    pub(super) fn judge(&mut self, entries: &[Entry]) {
        self.database(entries);
        self.memory(entries);
        for (name, directory) in [("#storage", "storage"), ("#uploads", "storage/uploads"), ("#tmp", "storage/tmp")] {
            if let Some((path, line)) = self.text(entries, &["paths", name]) {
                self.place(&path, directory, &format!("paths.{name}"), line);
            }
        }
        self.file_storage(entries, "uploads");
        self.file_storage(entries, "#uploads");
        self.cloud_storage(entries);
        self.models(entries);
        self.thumbnails(entries);
        self.sync_key(entries);
        if let Lookup::Found(Located { setting: Setting::Value(PhpValue::Bool(debug)), .. }) =
            lookup::find(entries, &["debug"])
        {
            self.config.debug = Some(*debug);
        }
    }

    fn database(&mut self, entries: &[Entry]) {
        if let Some((server, line)) = self.text(entries, &["database", "server"]) {
            let (scheme, path) = split_scheme(&server);
            match scheme.as_str() {
                "mongolite" => self.place(path, "storage/data", "database.server", line),
                "mongodb" | "mongodb+srv" => self.refuse(
                    line,
                    &format!("selects MongoDB (database.server = {scheme}://...)"),
                    "cockpit-sync serves the SQLite storage only",
                ),
                _ => self.refuse(
                    line,
                    &format!("selects an unknown database (database.server = {scheme}://...)"),
                    "cockpit-sync serves the SQLite storage only",
                ),
            }
        }
        if let Some((name, line)) = self.text(entries, &["database", "options", "db"])
            && name != "app"
        {
            self.refuse(
                line,
                &format!("names the main database {name} (database.options.db)"),
                "cockpit-sync serves the default, app, only",
            );
        }
    }

    fn memory(&mut self, entries: &[Entry]) {
        let Some((server, line)) = self.text(entries, &["memory", "server"]) else { return };
        let (scheme, path) = split_scheme(&server);
        if scheme == "redislite" {
            return self.place(path, "storage/data/app.memory.sqlite", "memory.server", line);
        }
        self.refuse(
            line,
            &format!("keeps Cockpit's memory elsewhere (memory.server = {scheme}://...)"),
            "cockpit-sync could not renew the caches of models and locales in there",
        );
    }

    fn file_storage(&mut self, entries: &[Entry], name: &str) {
        if let Some((adapter, line)) = self.text(entries, &["fileStorage", name, "adapter"])
            && adapter.trim_start_matches('\\') != LOCAL_ADAPTER
        {
            self.refuse(
                line,
                &format!("stores uploads by {adapter} (fileStorage.{name}.adapter)"),
                "cockpit-sync serves local files only",
            );
        }
        if let Some((path, line)) = self.text(entries, &["fileStorage", name, "args", "0"]) {
            self.place(&path, "storage/uploads", &format!("fileStorage.{name}.args"), line);
        }
    }

    fn cloud_storage(&mut self, entries: &[Entry]) {
        for name in ["uploads", "#uploads"] {
            match lookup::find(entries, &["cloudStorage", name]) {
                Lookup::Missing => {}
                Lookup::Found(located) | Lookup::Blocked { by: located, .. } => self.refuse(
                    located.line,
                    &format!("stores uploads in a cloud (cloudStorage.{name})"),
                    "cockpit-sync serves local files only",
                ),
                Lookup::Hidden { line } => self.hidden(line),
            }
        }
    }

    fn models(&mut self, entries: &[Entry]) {
        for path in [&["content/models/storage"] as &[_], &["content", "models", "storage"]] {
            if let Some((storage, line)) = self.text(entries, path)
                && storage == "database"
            {
                self.refuse(
                    line,
                    "keeps the models in the database (content.models.storage)",
                    "cockpit-sync serves models in files only",
                );
            }
        }
    }

    /// Stale thumbnails are a nuisance, no damage.
    fn thumbnails(&mut self, entries: &[Entry]) {
        for path in [&["assets/storage"] as &[_], &["assets", "storage"]] {
            let Lookup::Found(located) = lookup::find(entries, path) else { continue };
            if located.setting != Setting::Value(PhpValue::Text("tmp://thumbs".into())) {
                self.config.notes.push(format!(
                    "{CONFIG} line {} keeps thumbnails elsewhere (assets.storage): those of files that a sync replaces stay",
                    located.line
                ));
            }
        }
    }

    /// A key that cannot be read harms nothing: the agent can be given one of its own.
    fn sync_key(&mut self, entries: &[Entry]) {
        for path in [&["sync", "syncKey"] as &[_], &["sync.syncKey"], &["sync/syncKey"]] {
            let (line, why) = match lookup::find(entries, path) {
                Lookup::Missing => continue,
                Lookup::Found(Located { setting: Setting::Value(PhpValue::Text(key)), .. }) => {
                    self.config.sync_key = Some(key.clone()).filter(|key| !key.is_empty());
                    continue;
                }
                Lookup::Found(Located { setting: Setting::Unset(variable), line, .. }) => {
                    (*line, format!("reads sync.syncKey from {variable}, which is not set here"))
                }
                Lookup::Found(located) | Lookup::Blocked { by: located, .. } => {
                    (located.line, "has a sync.syncKey that cannot be read without running PHP".into())
                }
                Lookup::Hidden { line } => {
                    (line, "may hold a sync.syncKey that cannot be read without running PHP".into())
                }
            };
            let note = format!("{CONFIG} line {line} {why}: give the agent a key of its own");
            if !self.config.notes.contains(&note) {
                self.config.notes.push(note);
            }
        }
    }

    /// A setting that matters and must be a text. What it is instead is refused.
    fn text(&mut self, entries: &[Entry], path: &[&str]) -> Option<(String, usize)> {
        let (located, name) = match lookup::find(entries, path) {
            Lookup::Missing => return None,
            Lookup::Found(Located { setting: Setting::Value(PhpValue::Text(text)), line, defaulted }) => {
                self.note_defaults(&path.join("."), *line, defaulted);
                return Some((text.clone(), *line));
            }
            Lookup::Found(Located { setting: Setting::Value(PhpValue::Null), .. }) => return None,
            Lookup::Found(located) => (located, path.join(".")),
            Lookup::Blocked { by, keys } => (by, path[..keys].join(".")),
            Lookup::Hidden { line } => {
                self.hidden(line);
                return None;
            }
        };
        let what = match &located.setting {
            Setting::Value(_) | Setting::Array(_) => format!("sets {name} to the wrong kind of value"),
            Setting::Unset(variable) => format!("takes {name} from {variable}, which is set neither here nor in .env"),
            Setting::Computed(code) => format!("computes {name} ({code})"),
        };
        self.refuse(located.line, &what, CANNOT_TELL);
        None
    }

    fn note_defaults(&mut self, name: &str, line: usize, defaulted: &[String]) {
        for variable in defaulted {
            self.config.notes.push(format!(
                "{CONFIG} line {line} takes {name} from {variable}; that is not set here, so its default holds"
            ));
        }
    }

    fn hidden(&mut self, line: usize) {
        self.refuse(line, "computes keys or takes them from elsewhere", CANNOT_TELL);
    }

    /// Refuses a path that is not the one Cockpit uses by default.
    fn place(&mut self, path: &str, default: &str, name: &str, line: usize) {
        if is_same_place(Path::new(path), &self.root.join(default)) {
            return;
        }
        self.refuse(
            line,
            &format!("moves {default} to {path} ({name})"),
            "cockpit-sync serves the default places only",
        );
    }

    fn refuse(&mut self, line: usize, what: &str, why: &str) {
        let refusal = format!("{CONFIG} line {line} {what}: {why}");
        if !self.config.refusals.contains(&refusal) {
            self.config.refusals.push(refusal);
        }
    }
}

fn split_scheme(server: &str) -> (String, &str) {
    let (scheme, rest) = server.split_once("://").unwrap_or(("", server));
    (scheme.to_ascii_lowercase(), rest)
}

/// Relative paths depend on where PHP happens to run: they are no place at all.
fn is_same_place(path: &Path, default: &Path) -> bool {
    if !path.is_absolute() {
        return false;
    }
    if normalised(path) == normalised(default) {
        return true;
    }
    match (path.canonicalize(), default.canonicalize()) {
        (Ok(path), Ok(default)) => path == default,
        _ => false,
    }
}

fn normalised(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}
