//! Wall clocks that a test sets, one for each process, while it runs: the program itself knows nothing of it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the C library asks for the time in a way that can be shifted from outside.
const POSSIBLE: bool = cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"));

#[derive(Clone)]
pub struct Clocks {
    folder: PathBuf,
}

impl Clocks {
    /// Builds what shifts them; none where that is not possible.
    pub fn build(folder: &Path) -> Option<Self> {
        if !POSSIBLE {
            return None;
        }
        let source = folder.join("clock_shift.c");
        fs::write(&source, include_str!("clock_shift.c")).expect("a temporary folder can be written");
        let clocks = Self { folder: folder.into() };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(clocks.library()).arg(&source);
        assert!(compiler.status().is_ok_and(|status| status.success()), "{compiler:?}");
        Some(clocks)
    }

    fn library(&self) -> PathBuf {
        self.folder.join("clock_shift.so")
    }

    fn file(&self, process: &str) -> PathBuf {
        self.folder.join(format!("{process}.clock"))
    }

    /// The process that this command starts goes by the clock of that name.
    pub fn give(&self, command: &mut Command, process: &str) {
        if !self.file(process).exists() {
            self.shift(process, 0);
        }
        command.env("LD_PRELOAD", self.library()).env("CLOCK_SHIFT", self.file(process));
    }

    /// From now on that clock is so many seconds ahead of the true time.
    pub fn shift(&self, process: &str, seconds: i64) {
        // In place and never shorter: processes have it in their memory.
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.file(process));
        let written = file.and_then(|mut file| file.write_all(&seconds.to_ne_bytes()));
        written.expect("a temporary file can be written");
    }
}
