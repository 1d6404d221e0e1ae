//! The form of *Run sync*: what a preset fills in, and what somebody asks for with it.

use config::Config;
use producer::{Problem, SyncRequest};
use serde_json::{Map, Value, json};

use super::way_of;

/// The form's fields, in its order; a name may come several times.
pub type Fields = Vec<(String, String)>;

/// Settings that the form has fields for, and so shows and overrules whatever a preset says.
const OFFERED: [&str; 14] = [
    "all",
    "syncAll",
    "models",
    "resources",
    "state",
    "modifiedSince",
    "filter",
    "mirror",
    "withAssets",
    "folders",
    "files",
    "maxFileSize",
    "skipLargeFiles",
    "batchSize",
];

/// What the fields show at first: nothing, or what a preset says.
#[derive(Default)]
pub struct Filled {
    pub preset: Option<String>,
    pub models: Vec<String>,
    pub resources: Vec<String>,
    pub states: Vec<String>,
    pub modified_since: String,
    pub filter: String,
    pub mirror: bool,
    pub with_assets: bool,
    pub assets_only: &'static str,
    pub folders: String,
    pub files: String,
    pub max_file_size: String,
    pub skip_large_files: bool,
    pub batch_size: String,
    /// What else the preset says.
    pub besides: Vec<String>,
}

impl Filled {
    pub fn by(preset: Option<&str>, config: &Config) -> Result<Self, Problem> {
        let Some(name) = preset else { return Ok(Self::default()) };
        let said = producer::preset_settings(config, name)?;
        let list = |name: &str| match said.get(name) {
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        let one = |name: &str| said.get(name).map(text).unwrap_or_default();
        let is = |name: &str| said.get(name) == Some(&true.into());
        let is_not = |name: &str| said.get(name) == Some(&false.into());
        Ok(Self {
            preset: Some(name.to_owned()),
            models: list("models"),
            resources: list("resources"),
            states: list("state"),
            modified_since: one("modifiedSince"),
            filter: one("filter"),
            mirror: is("mirror"),
            with_assets: is("withAssets"),
            assets_only: match (is("folders") || is_not("files"), is("files") || is_not("folders")) {
                (true, false) => "folders",
                (false, true) => "files",
                _ => "",
            },
            folders: list("folders").join(", "),
            files: list("files").join(", "),
            max_file_size: one("maxFileSize"),
            skip_large_files: is("skipLargeFiles"),
            batch_size: one("batchSize"),
            besides: besides(said).iter().map(|(name, value)| format!("{name} {}", text(value))).collect(),
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn besides(mut settings: Map<String, Value>) -> Map<String, Value> {
    settings.retain(|name, _| !OFFERED.contains(&name.as_str()));
    settings
}

/// What somebody filled in, by the names that presets and the API have.
pub fn request(fields: &Fields, config: &Config, by: String) -> Result<SyncRequest, Problem> {
    let all = |name: &str| -> Vec<&str> {
        let given = fields.iter().filter(|(field, _)| field == name).map(|(_, text)| text.trim());
        given.filter(|text| !text.is_empty()).collect()
    };
    let one = |name: &str| all(name).first().copied();
    let (direction, other) = way_of(one("with").unwrap_or_default())?;
    let is_checked = |name: &str| one(name).is_some();
    let number = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    if let Some(model) = one("itemModel") {
        // One form asks for items, the other for all the rest.
        let ids = one("itemIds").unwrap_or_default();
        let ids: Vec<&str> = ids.split([',', ' ']).filter(|id| !id.is_empty()).collect();
        let item = json!({
            "model": model, "ids": ids, "withAssets": is_checked("itemAssets"),
            "withLinks": number(one("itemLinks").unwrap_or("0")),
        });
        let settings = Map::from_iter([("item".to_owned(), item)]);
        return SyncRequest::asked(direction, other, settings, config, by);
    }
    // The form was filled with what it says and shows what is wanted instead.
    let mut settings = match one("preset") {
        Some(name) => besides(producer::preset_settings(config, name)?),
        None => Map::new(),
    };
    if !is_checked("mirror") {
        // They say what a mirror may do.
        settings.retain(|name, _| name != "maxDelete" && name != "allowShrunk");
    }
    for name in ["models", "resources", "state"] {
        let chosen = all(name);
        if !chosen.is_empty() {
            settings.insert(name.into(), chosen.into());
        }
    }
    for name in ["folders", "files"] {
        let Some(names) = one(name) else { continue };
        if let Some(kind) = one("assetsOnly") {
            return Err(Problem::usage(format!(
                "only the {kind} of assets are asked for, and {name} are named: either all of one kind, or those that are named"
            )));
        }
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        settings.insert(name.into(), names.into());
    }
    settings.extend(one("assetsOnly").map(|kind| (kind.to_owned(), true.into())));
    for name in ["modifiedSince", "filter", "onConflict", "maxFileSize"] {
        settings.extend(one(name).map(|text| (name.to_owned(), text.into())));
    }
    settings.extend(one("batchSize").map(|text| ("batchSize".to_owned(), number(text))));
    for name in ["mirror", "acceptSchemaChanges", "withAssets", "skipLargeFiles"] {
        if is_checked(name) {
            settings.insert(name.into(), true.into());
        }
    }
    SyncRequest::asked(direction, other, settings, config, by)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use config::Environment;
    use protocol::run::Direction;

    use super::*;

    const CONFIG: &str = "local = 'a'\n[instance.a]\npath = 'a'\n[instance.b]\npath = 'b'\n[preset.night]\nmodels = ['posts']\n\
        mirror = true\nmax-delete = 5\nwith-assets = true\nskip-large-files = true\nbatch-size = 50\nwindow = 3\nstate = 'published'\n";

    fn config() -> Config {
        Config::parse(CONFIG, "/etc/cockpit-sync.toml".into(), &Environment::of([])).unwrap()
    }

    fn sent(form: &str) -> Result<SyncRequest, String> {
        let fields = form.split('&').map(|field| field.split_once('=').unwrap());
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        request(&fields, &config(), "me".into()).map_err(|problem| problem.message)
    }

    /// The form asks for the same as these settings do, which the command line and the API have, too.
    #[track_caller]
    fn assert_same(form: &str, direction: Direction, settings: Value) {
        let Value::Object(settings) = settings else { panic!("{settings}") };
        let expected = SyncRequest::asked(direction, "b", settings, &config(), "me").unwrap();
        assert_eq!(format!("{:?}", sent(form).unwrap()), format!("{expected:?}"), "{form}");
    }

    #[test]
    fn each_field_asks_for_what_it_says() {
        let push = |form: &str, settings| assert_same(&format!("with=push:b&{form}"), Direction::Push, settings);
        push(
            "models=posts&models=authors&resources=content",
            json!({"models": ["posts", "authors"], "resources": ["content"]}),
        );
        push("state=published&state=archived", json!({"state": ["published", "archived"]}));
        push("modifiedSince=2026-11-22", json!({"modifiedSince": "2026-11-22"}));
        push("filter={\"rating\":3}", json!({"filter": {"rating": 3}}));
        push("onConflict=hold&acceptSchemaChanges=true", json!({"onConflict": "hold", "acceptSchemaChanges": true}));
        push("mirror=true&withAssets=true", json!({"mirror": true, "withAssets": true}));
        push("assetsOnly=folders", json!({"folders": true}));
        push("assetsOnly=files", json!({"files": true}));
        push("folders=2026/summer, press&files=", json!({"folders": ["2026/summer", "press"]}));
        push("files=a.jpg", json!({"files": ["a.jpg"]}));
        push("maxFileSize=2MiB", json!({"maxFileSize": "2MiB"}));
        push("skipLargeFiles=true&batchSize=7", json!({"skipLargeFiles": true, "batchSize": 7}));
        let item = json!({"model": "posts", "ids": ["x", "y"], "withLinks": 2, "withAssets": true});
        push("itemModel=posts&itemIds=x, y&itemLinks=2&itemAssets=true", json!({ "item": item }));
        assert_same("with=pull:b&models=posts", Direction::Pull, json!({"models": ["posts"]}));
    }

    #[test]
    fn what_the_form_shows_is_asked_for_and_of_its_preset_only_what_the_form_has_no_field_for() {
        assert_same("with=push:b&preset=night", Direction::Push, json!({"window": 3}));
        assert_same(
            "with=push:b&preset=night&mirror=true&models=authors&batchSize=9",
            Direction::Push,
            json!({"window": 3, "mirror": true, "maxDelete": 5, "models": ["authors"], "batchSize": 9}),
        );
        assert!(sent("with=push:b&preset=day").unwrap_err().contains("there are: night"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for form in
            ["assetsOnly=folders&files=a.jpg", "assetsOnly=folders&folders=press", "assetsOnly=files&folders=press"]
        {
            assert!(sent(&format!("with=push:b&{form}")).unwrap_err().contains("are named"), "{form}");
        }
    }
}
