//! `version`, `completions` and `man`: what the program says of itself.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use producer::Problem;
use serde_json::json;

use super::{Arguments, Output};

#[derive(Debug, clap::Args)]
pub struct Version {}

impl Version {
    pub fn run(&self, output: &Output) -> Result<u8, Problem> {
        let version = env!("CARGO_PKG_VERSION");
        let value = json!({
            "name": "cockpit-sync",
            "version": version,
            "protocol": protocol::PROTOCOL_VERSION,
            "jobs": protocol::job::ENVELOPE_VERSION,
            "system": format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        });
        output.print(&value, || format!("cockpit-sync {version}"))?;
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Which shell: source <(cockpit-sync completions bash)
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<u8, Problem> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "cockpit-sync", &mut script);
        super::output::bytes(&script);
        Ok(0)
    }
}

#[derive(Debug, clap::Args)]
pub struct Man {
    /// Write one page per command into this directory, instead of the first page to stdout
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub fn run(&self) -> Result<u8, Problem> {
        let failed = |error: std::io::Error| Problem::usage(format!("man: {error}"));
        if let Some(directory) = &self.out {
            std::fs::create_dir_all(directory).map_err(failed)?;
            clap_mangen::generate_to(Arguments::command(), directory).map_err(failed)?;
            return Ok(0);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut page).map_err(failed)?;
        super::output::bytes(&page);
        Ok(0)
    }
}
