//! What may be asked of a push.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;

use super::stir::{ASSETS, AUTHORS, FOLDERS, POSTS, PROJECTS, SINGLETONS, TREE};

/// Options of a push, and what they are about.
#[derive(Debug, Clone)]
pub struct Asked {
    options: Vec<&'static str>,
    pub scope: &'static [&'static str],
    /// All documents in its scope come, and come as they are.
    pub is_whole: bool,
    pub is_mirror: bool,
    /// A post that the push may be about is open on the target.
    pub has_open_post: bool,
    /// What the config says besides.
    pub config: &'static str,
}

const EVERYTHING: &[&str] = &[POSTS, AUTHORS, TREE, SINGLETONS, ASSETS, FOLDERS, PROJECTS];
const CONTENT: &[&str] = &[POSTS, AUTHORS, TREE, SINGLETONS];
/// Options, scope, whether that is all of it.
const CHOICES: [(&[&str], &[&str], bool); 11] = [
    (&[], EVERYTHING, true),
    (&["--models", "posts"], &[POSTS], true),
    (&["--models", "authors,pagestree"], &[AUTHORS, TREE], true),
    (&["--models", "posts", "--with-assets"], &[POSTS, ASSETS, FOLDERS], false),
    (&["--resources", "content"], CONTENT, true),
    (&["--resources", "assets"], &[ASSETS, FOLDERS], true),
    (&["--resources", "assets", "--skip-large-files", "--max-file-size", "2KiB"], &[ASSETS, FOLDERS], false),
    (&["--models", "posts,authors", "--state", "published"], &[POSTS, AUTHORS], false),
    (&["--resources", "content", "--filter", "{\"rating\": {\"$gte\": 3}}"], CONTENT, false),
    (&["--resources", "content", "--modified-since", "1 day ago"], CONTENT, false),
    (&["--resources", "lokalize", "--missing-keys-only"], &[PROJECTS], false),
];
const RULES: [&str; 4] = ["source", "target", "newest", "hold"];
const SHAPED: [&str; 2] = [
    "[transform.content.posts]\nbefore = 'del(.excerpt) | .rating = 9'\n",
    "[transform.content.authors]\nmasks = [{ field = 'email', with = 'fake-email' }]\n",
];

impl Asked {
    pub fn draw(random: &mut StdRng) -> Self {
        let (options, scope, is_whole) = CHOICES[random.random_range(0..CHOICES.len())];
        let mut asked = Self {
            options: options.to_vec(),
            scope,
            is_whole,
            is_mirror: random.random_bool(0.5),
            has_open_post: random.random_bool(0.3),
            config: "",
        };
        if asked.is_mirror {
            asked.options.push("--mirror");
        }
        asked.options.extend(["--on-conflict", RULES[random.random_range(0..RULES.len())]]);
        if random.random_bool(0.5) {
            asked.options.extend(["--on-locked", "override"]);
        }
        asked.options.extend(["--batch-size", ["7", "50", "2000"][random.random_range(0..3)]]);
        if random.random_bool(0.3) {
            asked.config = SHAPED[random.random_range(0..SHAPED.len())];
            asked.is_whole = false;
        }
        asked
    }

    pub fn command<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &self.options].concat()
    }

    /// Whether a document of the target may be deleted: as far as its options say that of what is there.
    pub fn may_delete(&self, document: &Value) -> bool {
        let has = |option: &str| self.options.contains(&option);
        self.is_mirror
            && (!has("--state") || document["_state"] == 1)
            && (!has("--filter") || document["rating"].as_f64().is_some_and(|rating| rating >= 3.0))
    }

    pub fn has_files(&self) -> bool {
        self.scope.contains(&ASSETS)
    }
}
