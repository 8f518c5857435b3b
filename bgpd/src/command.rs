//! The command `godwitd`, for its own program and for others that add to it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use godwit_config::{LogConfig, LogFormat};
use godwit_policy::route::Registry;
use tracing::error;

use crate::bfd;
use crate::boot::Boot;
use crate::daemon::{self, Failure, Options};
use crate::logging;

/// BGP routing daemon
#[derive(Debug, Parser)]
#[command(name = "godwitd", version)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
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

/// What else the program is.
#[derive(Debug, Subcommand)]
enum Part {
    /// Keep the BFD sessions of a daemon, so that they outlive its restart
    Bfd {
        /// Where the daemon comes to
        #[arg(long, value_name = "SOCKET", default_value = "/run/godwit/bfd.sock")]
        socket: PathBuf,
    },
}

/// Runs the daemon as the command line says. Its configuration may name the
/// policies of `registry`, as `custom:NAME`.
pub fn main(registry: &Registry) -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::Bfd { socket }) = arguments.part {
        return keep_bfd(socket);
    }
    let color = io::stderr().is_terminal();
    let (file, state) = (&arguments.config, &arguments.state_dir);
    let boot = match Boot::load(file, state, registry, color) {
        Ok(boot) => boot,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    if let Err(e) = logging::init(&boot.config.log) {
        eprintln!("error: {e}");
        return ExitCode::from(2);
    }
    let options = Options {
        config: arguments.config,
        state_directory: arguments.state_dir,
    };
    match daemon::run(&options, boot) {
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

fn keep_bfd(socket: PathBuf) -> ExitCode {
    // It has no configuration file; GODWIT_LOG sets another level.
    let log = LogConfig {
        level: "info".to_owned(),
        format: LogFormat::Text,
    };
    if let Err(e) = logging::init(&log) {
        eprintln!("error: {e}");
        return ExitCode::from(2);
    }
    match bfd::run(&bfd::Options { socket }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}
