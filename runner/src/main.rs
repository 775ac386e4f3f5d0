//! inferd-runner: started by inferd with the daemon's socket as standard input. It takes no arguments.

use std::process::ExitCode;

fn main() -> ExitCode {
    inferd_runner::serve::run()
}
