//! What a command left behind: exit code, stdout, stderr.

use serde_json::Value;

#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is not JSON ({error}): {self:#?}"))
    }

    /// One JSON document per line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// A number of `counts`.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        self.json()["counts"][name].as_u64().unwrap_or_else(|| panic!("no count {name}: {self:#?}"))
    }

    /// What a refusal says, and with which code.
    #[track_caller]
    pub fn error(&self) -> (String, String) {
        let json = self.json();
        let text = |name: &str| json["error"][name].as_str().unwrap_or_else(|| panic!("{self:#?}")).to_owned();
        (text("code"), text("message"))
    }

    /// The message of a refusal holds all of these.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        let (_, message) = self.error();
        for word in words {
            assert!(message.contains(word), "{word:?} is missing in {message:?}");
        }
    }
}
