//! What destroys something on a protected target takes its name, as on the command line.

use config::Config;
use producer::Problem;
use serde::Deserialize;

/// `{"yesIMean": "production"}`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Means {
    pub yes_i_mean: Option<String>,
}

impl Means {
    /// Refuses unless the target is not protected, or it was named. `deed`: "reset its lock".
    pub fn check(&self, target: &str, config: &Config, deed: &str) -> Result<(), Problem> {
        let is_protected = config.instances.get(target).is_some_and(|instance| instance.protect);
        match self.yes_i_mean.as_deref() {
            None if !is_protected => Ok(()),
            Some(given) if given == target => Ok(()),
            Some(given) => Err(Problem::refused(format!("{given:?} is not its name ({target}): nothing was done"))),
            None => Err(Problem::refused(format!(
                "{target} is protected: to {deed}, say \"yesIMean\": {target:?}. Nothing was done"
            ))),
        }
    }
}
