//! `godwit demo`: two racks in network namespaces, routed by six daemons; pods
//! that ping each other; a cut cable. Needs root, `ping` and `godwitd` beside
//! this program, and leaves nothing behind.

mod kernel;
mod lab;
mod plan;
mod sessions;
mod story;
mod traffic;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;
use lab::Lab;
use plan::Plan;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One AS with the ToRs as route reflectors, instead of an AS for every
    /// host and every ToR.
    #[arg(long)]
    reflector: bool,
    /// Leave all running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    lab::check_machine()?;
    let plan = Plan::new(args.reflector);
    let mut out = Out::stdout(Format::Table);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            // From here on a signal is noted, not deadly: what was built until
            // then is dropped, and so removed.
            let interrupted = interrupted()?;
            let mut lab = Lab::new()?;
            tokio::select! {
                told = story::tell(&plan, &mut lab, args.keep, &mut out) => told,
                () = interrupted => Err(Failure::Refused("interrupted; all is removed".into())),
            }
        })
}

/// Ends with the first signal that asks us to end.
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
