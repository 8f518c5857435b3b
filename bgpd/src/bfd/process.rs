//! The process `godwitd bfd`: one thread that reads its sockets empty, lets the
//! timers run, sends, and tells the daemon.

use std::future::{pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use godwit_bgp::bfd::{Hops, Packet};
use godwit_netlink::{become_real_time, receive_datagram, tell_arrival};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::channel::Channel;
use super::messages::{Report, Request, VERSION};
use super::sender::Senders;
use super::table::{Arrival, Table};
use crate::clock;

/// Datagrams read of one socket before the others have their turn.
const BURST: usize = 256;

/// What a kernel without IPv6 says.
const NO_IPV6: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
/// What the neighbours get to hear of a planned end, however rarely they want to
/// hear of us.
const FAREWELL: Duration = Duration::from_secs(5);
/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// What the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) socket: PathBuf,
}

/// Keeps BFD sessions until it is told to end by a signal.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    clock::start();
    // Each session has a socket.
    crate::daemon::raise_file_limit();
    let real_time = match become_real_time() {
        Ok(()) => true,
        Err(e) => {
            warn!("cannot run with real-time priority ({e}): a busy host may cost sessions");
            false
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut process = Process::open(options, real_time)?;
        info!(socket = %options.socket.display(), real_time, "BFD started");
        let ended = process.serve().await;
        // The next process binds the same path, having removed this one's.
        let _ = std::fs::remove_file(&options.socket);
        ended
    })
}

struct Process {
    table: Table,
    senders: Senders,
    sockets: Vec<(UdpSocket, Hops)>,
    listener: UnixListener,
    daemon: Option<Daemon>,
    /// When the sessions end because no daemon came back.
    abandoned_at: Option<Duration>,
    hold: Duration,
    real_time: bool,
    /// Told to end: when it does at the latest.
    ending: Option<Duration>,
    /// A connection could not be accepted: not tried again before this.
    accept_at: Option<Duration>,
    /// A socket was not read empty.
    unread: bool,
}

/// The connection of the daemon.
struct Daemon {
    channel: Channel,
    /// It has said who it is and not yet that it goes.
    greeted: bool,
}

impl Process {
    fn open(options: &Options, real_time: bool) -> anyhow::Result<Process> {
        let mut sockets = Vec::new();
        for hops in [Hops::Single, Hops::Multi] {
            for address in [
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, hops.port())),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, hops.port())),
            ] {
                match listen(address) {
                    Ok(socket) => sockets.push((socket, hops)),
                    // A host without IPv6.
                    Err(e) if address.is_ipv6() && e.raw_os_error() == Some(NO_IPV6) => {
                        warn!("no BFD over IPv6: {e}");
                    }
                    Err(e) => {
                        return Err(anyhow!(e).context(format!(
                            "cannot listen on UDP {address} (does another BFD daemon run here?)"
                        )));
                    }
                }
            }
        }
        Ok(Process {
            table: Table::default(),
            senders: Senders::default(),
            sockets,
            listener: listen_for_daemon(&options.socket)?,
            daemon: None,
            abandoned_at: None,
            hold: Duration::ZERO,
            real_time,
            ending: None,
            accept_at: None,
            unread: false,
        })
    }

    async fn serve(&mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        crate::daemon::notify(&[sd_notify::NotifyState::Ready]);
        loop {
            self.step();
            let now = clock::now();
            let over = |at: Duration| self.table.is_empty() || now >= at;
            if self.ending.is_some_and(over) {
                return Ok(());
            }
            self.accept_at.take_if(|at| now >= *at);
            let next = [
                self.table.next_deadline(),
                self.abandoned_at,
                self.ending,
                self.accept_at,
            ];
            let next = next.into_iter().flatten().min();
            tokio::select! {
                () = readable(&self.sockets), if !self.unread => {}
                () = tokio::task::yield_now(), if self.unread => {}
                () = until(next) => {}
                accepted = self.listener.accept(), if self.accept_at.is_none() => self.accepted(accepted),
                alive = Daemon::turn(&mut self.daemon) => if !alive {
                    self.daemon_left();
                },
                _ = terminate.recv() => self.end(),
                _ = interrupt.recv() => self.end(),
            }
        }
    }

    /// Everything that is due. The sockets first: what lies there has arrived in
    /// time, however late we are.
    fn step(&mut self) {
        self.requests();
        // What arrives after this moment is late, what lies there is not.
        let now = clock::now();
        self.receive(now);
        if self.abandoned_at.is_some_and(|at| now >= at) {
            self.abandoned_at = None;
            info!("ending the sessions that no daemon asked for again");
            self.table.end_inherited(now);
        }
        for name in self.table.take_unused() {
            self.senders.close(name);
        }
        let mut sent = Vec::new();
        let senders = &mut self.senders;
        self.table.tick(now, self.unread, |name, key, packet| {
            sent.push((name, senders.send(name, key, packet, now)));
        });
        for (name, sent) in sent {
            if let Some(index) = sent.opened {
                self.table.set_interface(name, index);
            }
            if let Some(trouble) = sent.trouble {
                self.table.set_trouble(name, trouble);
            }
        }
        self.report(now);
    }

    fn receive(&mut self, now: Duration) {
        let mut buffer = [0; 128];
        self.unread = false;
        for (socket, hops) in &self.sockets {
            for turn in 0..=BURST {
                if turn == BURST {
                    self.unread = true;
                    break;
                }
                let read =
                    socket.try_io(Interest::READABLE, || receive_datagram(socket, &mut buffer));
                // Without having waited, the runtime does not look by itself.
                let read = match read {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        receive_datagram(socket, &mut buffer)
                    }
                    read => read,
                };
                let datagram = match read {
                    Ok(datagram) => datagram,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => {
                        debug!("reading a BFD socket: {e}");
                        continue;
                    }
                };
                if !hops.accepts_ttl(datagram.ttl) {
                    continue;
                }
                let payload = buffer.get(..datagram.length).unwrap_or_default();
                match Packet::decode(payload) {
                    Ok(packet) => {
                        let arrival = Arrival {
                            from: datagram.from.ip(),
                            to: datagram.to,
                            interface: datagram.interface,
                            hops: *hops,
                        };
                        self.table.receive(&packet, arrival, now);
                    }
                    Err(e) => debug!(from = %datagram.from, "dropped: {e}"),
                }
            }
        }
    }

    fn accepted(&mut self, accepted: io::Result<(UnixStream, tokio::net::unix::SocketAddr)>) {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                warn!("cannot accept the daemon: {e}");
                self.accept_at = Some(clock::now() + PAUSE);
                return;
            }
        };
        // The socket's mode keeps others out; this is for one with a wider mode.
        let ours = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == ours => {}
            _ => {
                warn!("somebody who is neither root nor we wants to command BFD; refused");
                return;
            }
        }
        // A daemon that was restarted may be here before the old connection ends.
        self.daemon_left();
        self.daemon = Some(Daemon {
            channel: Channel::new(stream),
            greeted: false,
        });
        let hello = Report::Hello {
            version: VERSION,
            real_time: self.real_time,
        };
        self.tell(&hello);
        self.table.forget_reports();
    }

    fn daemon_left(&mut self) {
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        if daemon.greeted && self.ending.is_none() {
            info!(hold = ?self.hold, "the daemon is gone; its sessions go on");
            self.table.inherit();
            self.abandoned_at = Some(clock::now() + self.hold);
        }
    }

    /// Every whole line that has been read.
    fn requests(&mut self) {
        while let Some(line) = self.daemon.as_mut().and_then(|d| d.channel.line()) {
            match serde_json::from_slice(&line) {
                Ok(request) => self.follow(request),
                Err(e) => {
                    let reason = format!("not understood: {e}");
                    warn!("the daemon's request is {reason}");
                    self.tell(&Report::Refused { reason });
                }
            }
        }
    }

    fn follow(&mut self, request: Request) {
        let now = clock::now();
        match request {
            Request::Hello { version, hold } => {
                if version != VERSION {
                    let reason = format!(
                        "the daemon speaks version {version} and this process {VERSION}: \
                         restart godwitd bfd"
                    );
                    warn!("{reason}");
                    self.tell(&Report::Refused { reason });
                    return;
                }
                self.hold = Duration::from_millis(hold.into());
                if let Some(daemon) = &mut self.daemon {
                    daemon.greeted = true;
                }
            }
            Request::Sessions { sessions } if self.obeys() => {
                if let Err(reason) = self.table.set(&sessions, now) {
                    warn!("{reason}");
                    self.tell(&Report::Refused { reason });
                }
            }
            Request::Goodbye => {
                info!("the daemon ended as planned; ending the sessions");
                self.table.end_all(now);
                if let Some(daemon) = &mut self.daemon {
                    daemon.greeted = false;
                }
            }
            Request::Sessions { .. } | Request::Unknown => {}
        }
    }

    /// Not a daemon that was refused, and none while it ends.
    fn obeys(&self) -> bool {
        let greeted = |daemon: &Daemon| daemon.greeted;
        self.ending.is_none() && self.daemon.as_ref().is_some_and(greeted)
    }

    fn report(&mut self, now: Duration) {
        if self.daemon.is_none() {
            return;
        }
        for status in self.table.news(now) {
            self.tell(&Report::Session(Box::new(status)));
        }
    }

    fn tell(&mut self, report: &Report) {
        let Some(daemon) = &mut self.daemon else {
            return;
        };
        if !daemon.channel.push(report) {
            warn!("the daemon does not read; cutting it off");
            self.daemon_left();
        }
    }

    fn end(&mut self) {
        let now = clock::now();
        if self.ending.is_some() {
            // Told twice: at once.
            self.ending = Some(now);
            return;
        }
        info!("ending the sessions");
        self.ending = Some(now + FAREWELL);
        self.table.end_all(now);
    }
}

impl Daemon {
    /// Reads and writes what is possible; whether the connection lives. Waits
    /// for ever where there is none.
    async fn turn(daemon: &mut Option<Daemon>) -> bool {
        match daemon {
            Some(daemon) => daemon.channel.turn().await,
            None => pending().await,
        }
    }
}

/// Waits until a datagram is there.
async fn readable(sockets: &[(UdpSocket, Hops)]) {
    poll_fn(|context| {
        let ready = |(socket, _): &(UdpSocket, Hops)| socket.poll_recv_ready(context).is_ready();
        // All of them, so that each may wake us.
        if sockets
            .iter()
            .map(ready)
            .fold(false, |any, ready| any | ready)
        {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn until(at: Option<Duration>) {
    match at {
        Some(at) => pin!(sleep_until(Instant::from_std(clock::instant(at)))).await,
        None => pending().await,
    }
}

fn listen(address: SocketAddr) -> io::Result<UdpSocket> {
    let (family, v6) = match address {
        SocketAddr::V4(_) => (AddressFamily::INET, false),
        SocketAddr::V6(_) => (AddressFamily::INET6, true),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    if v6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    tell_arrival(&socket, address.ip().into())?;
    UdpSocket::from_std(socket.into())
}

/// The socket that the daemon comes to; a left-over one of before is replaced.
fn listen_for_daemon(path: &Path) -> anyhow::Result<UnixListener> {
    let what = || format!("cannot listen on {}", path.display());
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(what)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(anyhow!(
            "another godwitd bfd runs: it answers on {}",
            path.display()
        ));
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).with_context(what),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(what)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(what)?;
    Ok(listener)
}
