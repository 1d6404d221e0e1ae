//! One binary, many roles: what a person types, the agent beside a Cockpit, and the workers.

use std::process::ExitCode;

use cockpit_sync::cli::{self, Arguments};

fn main() -> ExitCode {
    let arguments = Arguments::typed();
    let telemetry = cli::start_logging(&arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cockpit-sync: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli::run(arguments));
    // Reads that block in the background must not hold up the end of a command.
    runtime.shutdown_background();
    telemetry.close();
    ExitCode::from(code)
}
