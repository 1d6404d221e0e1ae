//! What a protected instance is asked for: its name, once more.

use std::io::{IsTerminal, Write};

use producer::Problem;

use super::Output;

/// Asks a person to type the name of a protected instance, unless it was given. Never asks a script.
pub fn confirm(name: &str, given: Option<&str>, what: &str, output: &Output) -> Result<(), Problem> {
    let given = match given {
        Some(given) => given.to_owned(),
        None if output.is_json() || !std::io::stdin().is_terminal() => {
            return Err(Problem::refused(format!("{name} is protected: say it again with --yes-i-mean {name}")));
        }
        None => {
            eprint!("{name} is protected. Type its name to {what}: ");
            let _unbuffered = std::io::stderr().flush();
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map_err(|error| Problem::usage(error.to_string()))?;
            line.trim().to_owned()
        }
    };
    if given == name { Ok(()) } else { Err(Problem::refused("that is not its name: nothing was done")) }
}
