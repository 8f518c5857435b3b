//! What can be typed. The doc comments here are the help and the man page.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{config, demo, drain, fib, manual, peer, policy, route, watch};

/// Show and change what a Godwit BGP daemon does.
///
/// Exit status: 0 all is well; 1 unhealthy, or a negative answer; 2 wrong
/// usage; 3 the daemon cannot be reached.
#[derive(Debug, Parser)]
#[command(name = "godwit", version, infer_subcommands = true)]
pub struct Args {
    /// Socket of the daemon.
    #[arg(
        long,
        global = true,
        env = "GODWIT_SOCKET",
        default_value = godwit_proto::DEFAULT_SOCKET,
        value_name = "PATH"
    )]
    pub socket: PathBuf,

    /// Tables for people, JSON for programs (with the field names of the API).
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Identity, sessions, tables and kernel on one screen.
    ///
    /// Exit status 1 when something is wrong; what, stands at the end.
    Status,
    /// BGP neighbours and their sessions.
    #[command(subcommand)]
    Peer(peer::Command),
    /// What was received, chosen and announced; own routes.
    #[command(subcommand)]
    Route(route::Command),
    /// Routing policy: its rules, and what they do to a route.
    #[command(subcommand)]
    RoutePolicy(policy::Command),
    /// What this daemon owns in the kernel.
    #[command(subcommand)]
    Fib(fib::Command),
    /// The configuration file.
    #[command(subcommand)]
    Config(config::Command),
    /// Follow changes as they happen; with `-o json` one object a line.
    #[command(subcommand)]
    Watch(watch::Command),
    /// Take this router out of service with its sessions up.
    ///
    /// Announces everything as the last choice (GRACEFUL_SHUTDOWN, RFC 8326),
    /// waits, then withdraws it. Lasts until `undrain`, or a restart of the
    /// daemon.
    Drain(drain::Args),
    /// Bring it back into service.
    Undrain,
    /// End every session with a Cease and let the daemon exit.
    Stop,
    /// Two racks of hosts in network namespaces: sessions, kernel routes, pods
    /// that ping each other, and a cut cable. Needs root and no daemon.
    Demo(demo::Args),
    /// Print a completion script for a shell.
    Completions(manual::Completions),
    /// Print the manual page, or write one a command to a directory.
    Man(manual::Man),
}

#[cfg(test)]
mod tests;
