//! What destroys something on a protected target takes its name, typed or given, before anything is done.

use std::io::{IsTerminal, Write};

use config::Config;
use producer::Problem;

use super::Output;

/// Asks a person to type the name of a protected instance, unless it was given. Never asks a script.
pub fn confirm(name: &str, given: Option<&str>, what: &str, output: &Output) -> Result<(), Problem> {
    let given = match given {
        Some(given) => given.to_owned(),
        None if output.is_json() || !std::io::stdin().is_terminal() => {
            return Err(Problem::refused(format!(
                "{name} is protected: say it again with --yes-i-mean {name}. Nothing was done"
            )));
        }
        None => ask(&format!("{name} is protected. Type its name to {what}: "))?,
    };
    if given == name {
        return Ok(());
    }
    Err(Problem::refused(format!("{given:?} is not its name ({name}): nothing was done")))
}

#[derive(Debug, clap::Args)]
pub struct Protection {
    /// For scripts, where the target is protected: its name once more; of several, those that are
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    yes_i_mean: Vec<String>,
}

impl Protection {
    /// Refuses unless none of the targets is protected, or somebody means those that are. `deed`: "delete documents there".
    pub fn check(&self, targets: &[String], config: &Config, deed: &str, output: &Output) -> Result<(), Problem> {
        if let Some(other) = self.yes_i_mean.iter().find(|name| !targets.contains(name)) {
            return confirm(&targets.join(","), Some(other), deed, output);
        }
        let is_protected = |target: &&String| config.instances.get(*target).is_some_and(|instance| instance.protect);
        for target in targets.iter().filter(is_protected).filter(|target| !self.yes_i_mean.contains(target)) {
            confirm(target, None, deed, output)?;
        }
        Ok(())
    }
}

/// What a person types.
pub fn ask(question: &str) -> Result<String, Problem> {
    eprint!("{question}");
    let _unbuffered = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Problem::usage(error.to_string()))?;
    Ok(line.trim().to_owned())
}
