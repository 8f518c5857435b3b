//! `godwit`: the command line. Every verb that reads or changes a daemon is one
//! call of its gRPC API; `config check`, `route-policy test --config`, `demo`,
//! `completions` and `man` need none.
//!
//! Exit codes: 0 all is well, 1 unhealthy or a negative answer, 2 wrong usage,
//! 3 the daemon cannot be reached.
#![forbid(unsafe_code)]

mod args;
mod client;
mod config;
mod demo;
mod drain;
mod failure;
mod fib;
mod manual;
mod output;
mod peer;
mod policy;
mod route;
mod span;
mod status;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use client::Client;
use failure::Failure;
use output::Out;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = run(&args);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                eprintln!("godwit: {text}");
            }
            failure.exit_code()
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let mut out = Out::stdout(args.output);
    match &args.command {
        Command::Completions(command) => manual::completions(command, &mut out),
        Command::Man(command) => manual::man(command, &mut out),
        Command::Config(config::Command::Check(command)) => config::check(command, &mut out),
        Command::RoutePolicy(policy::Command::Test(test)) if test.is_offline() => {
            policy::offline(test, &mut out)
        }
        Command::Demo(command) => demo::run(command),
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ask_daemon(args, &mut out)),
    }?;
    out.flush()
}

async fn ask_daemon(args: &Args, out: &mut Out) -> Result<(), Failure> {
    let client = Client::connect(&args.socket).await?;
    match &args.command {
        Command::Status => status::run(&client, out).await,
        Command::Peer(command) => peer::run(command, &client, out).await,
        Command::Route(command) => route::run(command, &client, out).await,
        Command::RoutePolicy(command) => policy::run(command, &client, out).await,
        Command::Fib(command) => fib::run(command, &client, out).await,
        Command::Watch(command) => watch::run(command, &client, out).await,
        Command::Config(command) => config::run(command, &client, out).await,
        Command::Drain(args) => drain::drain(args, &client, out).await,
        Command::Undrain => drain::undrain(&client, out).await,
        Command::Stop => status::stop(&client, out).await,
        Command::Demo(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}
