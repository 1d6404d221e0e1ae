//! One binary, many roles: what a person types, the agent beside a Cockpit, and the workers.

use std::process::ExitCode;

use cockpit_sync::cli::{self, Arguments};

fn main() -> ExitCode {
    let arguments = Arguments::typed();
    let telemetry = cli::start_logging(&arguments);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if arguments.is_worker() {
        // Jobs wait for others most of the time, and what computes has threads of its own: more would mostly wake each other.
        builder.worker_threads(1);
    }
    let runtime = match builder.enable_all().build() {
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
