//! `godwitd`: the daemon in the foreground.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use godwit_bgpd::daemon::{self, Failure, Options};
use godwit_bgpd::logging;
use tracing::error;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// BGP routing daemon
#[derive(Debug, Parser)]
#[command(name = "godwitd", version)]
struct Arguments {
    /// Configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/godwit/godwit.toml"
    )]
    config: PathBuf,
    /// Where what must outlive the process is kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/godwit")]
    state_dir: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match godwit_config::load(&arguments.config) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("{}", e.render(io::stderr().is_terminal()));
            return ExitCode::from(2);
        }
    };
    if let Err(e) = logging::init(&config.log) {
        eprintln!("error: {e}");
        return ExitCode::from(2);
    }
    let options = Options {
        config: arguments.config,
        state_directory: arguments.state_dir,
    };
    match daemon::run(&options, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
        Err(Failure::Other(e)) => {
            error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}
