//! Starts and stops everything.
//!
//! ```text
//!   neighbour        neighbour                                     clients
//!       │ TCP            │ TCP                                        │ unix socket
//!  ┌────▼─────┐     ┌────▼─────┐                                 ┌────▼────┐
//!  │ listener │     │   peer   │  a task each: session, sockets, │   api   │
//!  └─┬──────┬─┘     └▲─▲────┬─▲┘  timers                         └─┬─────┬─┘
//!  4 │    3 │      3 │ │2   │1│                                  5 │   6 │
//!    │      └────────┼─┼────┼─┼──────────┐                         │     │
//!  ┌─▼───────────────┴─┐    │ │          └─► peer                  │     │
//!  │      control      │◄───┼─┼─────────────────────────────────────┘     │
//!  └─▲─────────────────┘    │ │2                                        │
//!  7 │                 ┌────▼─┴────┐                                    │
//!    └─────────────────┤    RIB    │◄───────────────────────────────────┘
//!                      └─▲───────┬─┘  a thread
//!                     9  │       │ 8
//!                      ┌─┴───────▼─┐
//!                      │    fib    │  a thread ──► kernel ──► links, a thread ──3──► peers
//!                      └───────────┘
//! ```
//!
//! | # | from → to | what | bound | when full |
//! |---|---|---|---|---|
//! | 1 | peer → RIB | batches of UPDATEs, one a read burst | 1 MiB a peer, and one burst | the socket is not read; TCP holds the neighbour back |
//! | 2 | RIB → peer | frames | 512 KiB a peer | they stay in the RIB, where a slow peer costs one bit a prefix |
//! | 3 | listener, control, links → peer | accepted sockets, commands | 8 | the listener closes the socket (the neighbour tries again); the others wait |
//! | 4 | listener → control | sockets of strangers | 256 | closed |
//! | 5 | API, signals → control | commands | 64 | the sender waits |
//! | 6 | API, peers, control → RIB | jobs | 64 queries; a few a peer and of control: of a peer's requests for a refresh, one a family | the query waits outside; a request joins the one that waits |
//! | 7 | RIB → control | End-of-RIB, failure | one a session and family | cannot be |
//! | 8 | RIB → fib | route changes | 65,536 | they stay in the RIB: the latest of a prefix counts |
//! | 9 | fib → RIB | acknowledgements, next-hop states | what 8 let through | cannot be |
//! |   | peers → watchers | broadcast of changes | 4,096 | the watcher is told and starts over |

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use godwit_config::Config;
use godwit_fib::{Fib, FibHandle, OnStop};
use godwit_rib::Rib;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::bfd::Bfd;
use crate::boot::Boot;
use crate::control::desired::Desired;
use crate::control::listeners::Listeners;
use crate::control::revisions::Apply;
use crate::control::task::{ControlTask, Ended, Inputs, Kept};
use crate::control::{Control, Identity, Loaded, Ranges, Shared, resolve};
use crate::identity::{self, StateFile};
use crate::interfaces::Interfaces;
use crate::kernel::ToRib;
use crate::listener::Gate;
use crate::peer::{self, Registry};
use crate::ribthread::{self, Inbox, Notices};
use crate::{api, clock, links};

const COMMANDS: usize = 64;
const STRANGERS: usize = 256;
/// Descriptors that are not sessions' sockets: kernel, API clients, logs.
const RESERVED_FILES: usize = 256;
/// The RIB numbers its peers in 16 bits, and a number is not free at once.
const MOST_PEERS: usize = 32_768;
/// What the kernel routes get to be written or removed at the end.
const FIB_PATIENCE: Duration = Duration::from_secs(20);

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: PathBuf,
    pub state_directory: PathBuf,
}

/// Why the daemon ended other than by being told to.
#[derive(Debug)]
pub enum Failure {
    /// The file is not used; text for people, already underlined.
    Config(String),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Failure {
        Failure::Other(e)
    }
}

/// Runs the daemon until it is told to stop.
pub fn run(options: &Options, boot: Boot) -> Result<(), Failure> {
    clock::start();
    let Boot {
        config,
        text,
        revision,
        store,
        history,
        last_error,
        notes,
        lock: _lock,
    } = boot;
    for warning in config.warnings.iter().chain(&notes) {
        warn!("{warning}");
    }
    let interfaces = Arc::new(Interfaces::default());
    let state = StateFile::in_directory(&options.state_directory);
    let router_id = identity::router_id(config.router.router_id, &state, &interfaces);
    let identity = resolve::identity(&config, router_id.ok_or_else(no_router_id)?);
    let limit = raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .thread_name("net")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let loaded = Loaded {
        config: Arc::new(config),
        text,
        revision,
        path: options.config.clone(),
        at: SystemTime::now(),
        last_error,
        going_back: None,
    };
    let kept = Kept { store, history };
    let (engine, routes) = Engine::start(loaded, identity, interfaces, kept)?;
    let shared = Arc::clone(&engine.shared);
    let ended = runtime.block_on(serve(engine, limit));
    // Also where the control task failed and could not say so.
    shared.rib.stop();
    // Whatever still runs (a client's request) ends with the process.
    runtime.shutdown_background();
    if routes.join().is_err() || ended? == Ended::Failed {
        return Err(anyhow!("the RIB thread failed").into());
    }
    let on_stop = match shared.loaded.load().config.fib.on_stop {
        godwit_config::OnStop::Keep => OnStop::Keep,
        godwit_config::OnStop::Remove => OnStop::Remove,
    };
    if let Some(fib) = &shared.fib
        && !fib.stop(on_stop, FIB_PATIENCE)
    {
        warn!("the kernel did not take all routes in time");
    }
    info!("stopped");
    Ok(())
}

/// The threads, and what the tasks are made of.
pub(crate) struct Engine {
    pub shared: Arc<Shared>,
    bfd: Arc<Bfd>,
    interfaces: Arc<Interfaces>,
    notices: Notices,
    desired: Desired,
    kept: Kept,
}

impl Engine {
    /// Starts the RIB thread, whose end the second value waits for, and the fib's.
    pub fn start(
        loaded: Loaded,
        identity: Identity,
        interfaces: Arc<Interfaces>,
        kept: Kept,
    ) -> anyhow::Result<(Engine, JoinHandle<()>)> {
        let config = Arc::clone(&loaded.config);
        let desired = resolve::desired(&config, &identity);
        let inbox = Arc::new(Inbox::default());
        let fib = start_fib(&config, &inbox)?;
        let (rib, notices, thread) = ribthread::spawn(Rib::new(desired.rib), fib.clone(), inbox)
            .context("cannot start the RIB thread")?;
        let shared = Arc::new(Shared {
            identity,
            started: Arc::clone(&config),
            loaded: ArcSwap::from_pointee(loaded),
            listeners: ArcSwap::default(),
            gate: Arc::new(Gate::new(config.router.connection_rate)),
            ranges: Ranges::default(),
            restraint: ArcSwap::default(),
            registry: Arc::new(Registry::default()),
            rib,
            fib,
        });
        let engine = Engine {
            bfd: Bfd::new(config.bfd.socket.clone(), config.bfd.hold),
            shared,
            interfaces,
            notices,
            desired,
            kept,
        };
        Ok((engine, thread))
    }

    /// Opens the listeners and starts the control task, which starts the peers.
    pub fn open(self, limit: usize) -> (Control, tokio::task::JoinHandle<Ended>) {
        let shared = self.shared;
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (strangers, strangers_in) = mpsc::channel(STRANGERS);
        let context = peer::Context {
            rib: shared.rib.clone(),
            registry: Arc::clone(&shared.registry),
            interfaces: self.interfaces,
            links: Arc::default(),
            bfd: self.bfd,
        };
        let inputs = Inputs {
            commands: commands_in,
            strangers: strangers_in,
            notices: self.notices,
            listeners: Listeners::new(strangers),
        };
        if let Err(e) = links::spawn(Arc::clone(&context.links), Arc::clone(&shared.registry)) {
            warn!("cannot watch links: {e}");
        }
        let control = Control::new(commands, Arc::clone(&shared));
        let task = ControlTask::new(shared, context, inputs, self.kept, self.desired, limit);
        (control, tokio::spawn(task.run()))
    }
}

/// Everything that lives in the runtime; returns when the control task has ended.
async fn serve(engine: Engine, limit: usize) -> anyhow::Result<Ended> {
    let peers = engine.desired.peers.len();
    let bfd = Arc::clone(&engine.bfd);
    let (control, task) = engine.open(limit);
    let _api = api::spawn(control.clone());
    let watching = tokio::spawn(Arc::clone(&bfd).run());
    let identity = control.identity();
    info!(
        version = env!("CARGO_PKG_VERSION"),
        asn = identity.asn.0,
        router_id = %identity.router_id,
        peers,
        "started"
    );
    signals(control)?;
    notify(&[NotifyState::Ready]);
    let ended = task.await;
    notify(&[NotifyState::Stopping]);
    bfd.leave();
    // It has a deadline of its own.
    let _ = watching.await;
    ended.context("the control task failed")
}

/// The fib thread also runs where routes are not written but next hops must be
/// known.
fn start_fib(config: &Config, inbox: &Arc<Inbox>) -> anyhow::Result<Option<FibHandle>> {
    if !config.fib.enabled && !config.next_hop.require {
        return Ok(None);
    }
    let sink = ToRib(Arc::clone(inbox));
    Fib::spawn(resolve::fib_config(config), sink)
        .map(Some)
        .context("cannot reach the kernel's routing (are we root?)")
}

/// SIGTERM and SIGINT stop, SIGHUP reloads.
fn signals(control: Control) -> anyhow::Result<()> {
    let hook = |kind| signal(kind).context("cannot wait for signals");
    let (mut terminate, mut interrupt, mut hangup) = (
        hook(SignalKind::terminate())?,
        hook(SignalKind::interrupt())?,
        hook(SignalKind::hangup())?,
    );
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    let mut states = vec![NotifyState::Reloading];
                    states.extend(NotifyState::monotonic_usec_now());
                    notify(&states);
                    // What went wrong is logged and shown by the status.
                    let wanted = Apply::reload(None, "SIGHUP");
                    let _ = control.apply(wanted).await;
                    notify(&[NotifyState::Ready]);
                }
            }
        }
        notify(&[NotifyState::Stopping]);
        control.stop().await;
    });
    Ok(())
}

/// Tells systemd, where it started us.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        warn!("cannot notify systemd: {e}");
    }
}

/// Sessions are many sockets: takes what the system allows. Returns how many
/// peers that is good for.
pub(crate) fn raise_file_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(e) = setrlimit(Resource::Nofile, raised) {
        warn!("cannot raise the limit of open files: {e}");
    }
    let files = getrlimit(Resource::Nofile)
        .current
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(usize::MAX);
    files.saturating_sub(RESERVED_FILES).min(MOST_PEERS)
}

/// The network's share of the processors; the RIB and the fib have threads of
/// their own.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4))
}

fn no_router_id() -> Failure {
    Failure::Config(
        "error: this host has no IPv4 address to make a router-id of\n  \
         = help: write `router-id = \"…\"` under [router]: any number in the form of an IPv4 \
         address that no other router of the AS has"
            .to_owned(),
    )
}
