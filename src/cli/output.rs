//! What goes to stdout: text for people, or JSON for programs. Everything else goes to stderr.

use std::io::{IsTerminal, Write};

use producer::Problem;
use serde::Serialize;
use serde_json::Value;

/// How this command prints.
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a person looks at stderr: progress bars make sense.
    pub fn is_live(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// One JSON document, or what `text` makes of the same for people.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result<(), Problem> {
        let text = if self.json {
            serde_json::to_string(value).map_err(|error| Problem::usage(format!("this cannot be printed: {error}")))?
        } else {
            text()
        };
        line(&text);
        Ok(())
    }

    /// A line for people on stdout, of a result that is printed as it comes.
    pub fn line(&self, text: &str) {
        line(text);
    }

    /// A remark for people, beside the result.
    pub fn say(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Why a command did not do what was asked.
    pub fn problem(&self, problem: &Problem) {
        if self.json {
            line(&serde_json::json!({ "error": problem_as_json(problem) }).to_string());
        } else {
            eprintln!("cockpit-sync: {}", problem.message);
        }
    }
}

/// What is neither text nor JSON of ours.
pub fn bytes(bytes: &[u8]) {
    let _reader_gone = std::io::stdout().write_all(bytes);
}

/// As in `{"error": ...}`.
pub fn problem_as_json(problem: &Problem) -> Value {
    serde_json::json!({ "code": problem.kind.code(), "message": problem.message })
}

/// A reader that went away (`| head`) is no error.
fn line(text: &str) {
    let _reader_gone = writeln!(std::io::stdout(), "{text}");
}
