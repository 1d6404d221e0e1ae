//! Which paths of assets are allowed, and what they are below `storage/uploads`.
//!
//! A path comes from a row or from the wire: it may say anything. It must stay below the directory, by its text and
//! through every link on the way, and name nothing that a web server would run or obey.

use std::fs;
use std::path::{Component, Path, PathBuf};

use protocol::api::HeldCause;

use super::Storage;

/// Cockpit's own list of what may not be uploaded.
const FORBIDDEN_EXTENSIONS: [&str; 11] =
    ["bat", "exe", "sh", "php", "phar", "phtml", "phps", "htm", "html", "xhtml", "htaccess"];
const MAX_LENGTH: usize = 1000;
const MAX_NAME_LENGTH: usize = 255;

/// Why a file cannot be served or taken.
pub(crate) type NotThere = (HeldCause, String);

impl Storage {
    /// Where the file of an asset is, or would be. `path` begins with a slash in most rows, and need not.
    pub(crate) fn upload_path(&self, path: &str) -> Result<PathBuf, NotThere> {
        let refused = |reason: &str| (HeldCause::Forbidden, format!("the path {path:?} is not allowed: {reason}"));
        let relative = relative(path).map_err(refused)?;
        let mut place = self.layout.uploads.clone();
        for component in relative.components() {
            place.push(component);
            if fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.file_type().is_symlink()) {
                return Err(refused("there is a link in it"));
            }
        }
        Ok(place)
    }
}

fn relative(path: &str) -> Result<&Path, &'static str> {
    let text = path.strip_prefix('/').unwrap_or(path);
    if text.is_empty() || text.len() > MAX_LENGTH {
        return Err("it is empty or too long");
    }
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7F || byte == b'\\') {
        return Err("there are control characters or backslashes in it");
    }
    for name in text.split('/') {
        if name.is_empty() || name.starts_with('.') || name.len() > MAX_NAME_LENGTH {
            return Err("a part of it is empty, hidden or too long");
        }
    }
    let path = Path::new(text);
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err("it leads elsewhere");
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split('.').skip(1).map(str::to_ascii_lowercase).peekable();
    if parts.peek().is_none() {
        return Err("it has no extension");
    }
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        // Web servers are told to run `x.php.jpg` too, now and then.
        if part.starts_with("php") || (is_last && (part.is_empty() || FORBIDDEN_EXTENSIONS.contains(&part.as_str()))) {
            return Err("Cockpit takes no such files");
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_directory_and_names_nothing_that_runs() {
        for good in ["/2026/11/22/a_uid_6b02.png", "a.PDF", "/x/y.min.js", "/ü/größe 1.jpg"] {
            assert!(relative(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            "/",
            "/../../config/config.php",
            "/a/../b.png",
            "/a/./b.png",
            "//etc/passwd.png",
            "/a//b.png",
            "/.htaccess",
            "/a/.hidden.png",
            "/a.php",
            "/a.PHP",
            "/a.php.jpg",
            "/a.php5",
            "/a.html",
            "/a",
            "/a.",
            "/a\\b.png",
            "/a\0.png",
            "/a\n.png",
            "..",
            "../a.png",
        ];
        for bad in bad {
            assert!(relative(bad).is_err(), "{bad:?}");
        }
    }
}
