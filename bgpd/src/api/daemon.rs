//! Service `Daemon`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use godwit_bgp::Family;
use godwit_bgp::session::State;
use godwit_config::{PeerConfig, PeerKey};
use godwit_proto::v1;
use tonic::{Request, Response, Status};

use super::{convert, error, fib};
use crate::clock;
use crate::control::{Control, DrainStatus, Loaded};
use crate::listener::ListenerStatus;
use crate::status::{PeerOrigin, PeerStatus};

/// As the command line has it.
const DRAIN_WAIT: std::time::Duration = std::time::Duration::from_secs(10);
const LONGEST_DRAIN_WAIT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub struct Service {
    control: Control,
}

impl Service {
    pub fn new(control: Control) -> Service {
        Service { control }
    }

    /// Figures of the kernel's side; and what is wrong there as a whole.
    async fn fib(&self) -> Result<(v1::FibStatus, Option<String>), Status> {
        let config = &self.control.started().fib;
        let mut status = v1::FibStatus {
            enabled: config.enabled,
            table: config.table,
            metric: config.metric,
            protocol: config.protocol.into(),
            ..v1::FibStatus::default()
        };
        let Some(handle) = self.control.fib().cloned() else {
            return Ok((status, None));
        };
        let figures = fib::ask(move || handle.status()).await?;
        status.installed = figures.routes_installed as u64;
        status.pending = figures.routes_pending as u64;
        status.failed = figures.routes_failed as u64;
        status.stale = figures.routes_adopted as u64;
        Ok((status, figures.error))
    }
}

#[tonic::async_trait]
impl v1::daemon_server::Daemon for Service {
    async fn get_status(
        &self,
        _: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let control = &self.control;
        let identity = control.identity();
        let loaded = control.loaded();
        let listeners = control.listeners();
        let restraint = control.restraint();
        let peers: Vec<_> = control.peers().iter().map(|view| view.status()).collect();
        let summary = control.rib().query(|rib| rib.summary()).await?;
        let (fib, fib_error) = self.fib().await?;

        let mut problems = Vec::new();
        problems.extend(listeners.iter().filter_map(listener_problem));
        problems.extend(listeners.iter().filter_map(keys_problem));
        problems.extend(fib_error.map(|e| problem("fib", e, "")));
        problems.extend(routes_problem(&fib));
        problems.extend(file_problem(&loaded));
        problems.extend(rollback_problem(&loaded));
        problems.extend(peers.iter().filter_map(|p| peer_problem(p)));

        let established = |p: &&Arc<PeerStatus>| p.state == State::Established;
        let tables = Family::ALL.into_iter().map(|family| v1::TableStatus {
            family: v1::Family::from(family) as i32,
            prefixes: summary.prefixes[family.index()],
            paths: summary.paths[family.index()],
        });
        Ok(Response::new(v1::GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started: convert::time(clock::started_at()),
            identity: Some(v1::Identity {
                node_name: identity.node.clone(),
                asn: identity.asn.0,
                router_id: identity.router_id.to_string(),
                cluster_id: (loaded.config.router.cluster_id)
                    .unwrap_or(identity.router_id)
                    .to_string(),
            }),
            configuration: Some(v1::Configuration {
                file: loaded.path.display().to_string(),
                loaded: convert::time(loaded.at),
                last_error: loaded.last_error.clone().unwrap_or_default(),
            }),
            listeners: listeners.iter().map(listener).collect(),
            peers: Some(v1::PeerCounts {
                configured: peers.len() as u32,
                established: peers.iter().filter(established).count() as u32,
                disabled: peers.iter().filter(|p| p.disabled).count() as u32,
            }),
            tables: tables.collect(),
            host_settings: host_settings(fib.enabled),
            fib: Some(fib),
            resident_bytes: resident_bytes(),
            problems,
            ranges: ranges(control, &loaded, &peers),
            refused: Some(refused(control)),
            drain: restraint.drain.as_ref().map(drain_status),
            updates_held_until: restraint.held_until.and_then(convert::time),
        }))
    }

    async fn reload(
        &self,
        request: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let control = self.control.on_behalf_of(super::uid(&request));
        Ok(Response::new(v1::ReloadResponse {
            changes: control.reload().await?,
        }))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        let request = request.into_inner();
        let wait = match request.wait {
            None => DRAIN_WAIT,
            Some(wait) => std::time::Duration::try_from(wait)
                .ok()
                .filter(|wait| *wait <= LONGEST_DRAIN_WAIT)
                .ok_or_else(|| error::bad_field("wait", "is to be from 0 s to a day"))?,
        };
        let drain = self.control.drain(wait, !request.keep_announcing).await?;
        Ok(Response::new(v1::DrainResponse {
            drain: Some(drain_status(&drain)),
        }))
    }

    async fn undrain(
        &self,
        _: Request<v1::UndrainRequest>,
    ) -> Result<Response<v1::UndrainResponse>, Status> {
        self.control.undrain().await?;
        Ok(Response::new(v1::UndrainResponse {}))
    }

    async fn stop(
        &self,
        _: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        self.control.stop().await;
        Ok(Response::new(v1::StopResponse {}))
    }
}

fn problem(subject: impl Into<String>, what: impl Into<String>, hint: &str) -> v1::Problem {
    v1::Problem {
        subject: subject.into(),
        what: what.into(),
        hint: hint.into(),
    }
}

fn listener(listener: &ListenerStatus) -> v1::Listener {
    v1::Listener {
        address: listener.address.to_string(),
        error: listener.error.clone().unwrap_or_default(),
        md5_keys: listener.keys as u32,
        md5_keys_missing: listener.keys_missing.len() as u32,
        md5_error: listener
            .keys_missing
            .values()
            .next()
            .cloned()
            .unwrap_or_default(),
    }
}

fn listener_problem(listener: &ListenerStatus) -> Option<v1::Problem> {
    let error = listener.error.as_ref()?;
    Some(problem(
        format!("listener {}", listener.address),
        format!("cannot listen: {error}"),
        "is another BGP daemon running? change `[router] listen`, or stop it and restart",
    ))
}

fn keys_problem(listener: &ListenerStatus) -> Option<v1::Problem> {
    let why = listener.keys_missing.values().next()?;
    let missing = listener.keys_missing.len();
    Some(problem(
        format!("listener {}", listener.address),
        format!("{missing} peers with a TCP-MD5 key cannot connect to us: {why}"),
        "those that we connect to come up all the same",
    ))
}

fn ranges(control: &Control, loaded: &Loaded, peers: &[Arc<PeerStatus>]) -> Vec<v1::PeerRange> {
    let range = |config: &PeerConfig| {
        let PeerKey::Range(range) = config.key else {
            return None;
        };
        let from_it = |p: &&Arc<PeerStatus>| p.origin == PeerOrigin::Range(range);
        Some(v1::PeerRange {
            range: range.to_string(),
            group: config.group.clone().unwrap_or_default(),
            peers: peers.iter().filter(from_it).count() as u32,
            limit: config.limit,
            refused: control.refused_by(range),
        })
    };
    loaded.config.peers.iter().filter_map(range).collect()
}

fn refused(control: &Control) -> v1::RefusedConnections {
    let refused = control.refused();
    v1::RefusedConnections {
        strangers: refused.strangers.load(Ordering::Relaxed),
        rate: refused.rate.load(Ordering::Relaxed),
        limit: refused.limit.load(Ordering::Relaxed),
    }
}

fn routes_problem(fib: &v1::FibStatus) -> Option<v1::Problem> {
    (fib.failed > 0).then(|| {
        problem(
            "fib",
            format!("{} routes are not in the kernel", fib.failed),
            "see `godwit fib list --not-installed`",
        )
    })
}

fn drain_status(drain: &DrainStatus) -> v1::DrainStatus {
    v1::DrainStatus {
        since: convert::time(drain.since),
        withdraw_at: drain.withdraw_at.and_then(convert::time),
        withdrawn: drain.withdrawn,
    }
}

fn file_problem(loaded: &Loaded) -> Option<v1::Problem> {
    loaded.last_error.as_ref().map(|_| {
        problem(
            format!("configuration {}", loaded.path.display()),
            "its last change was refused; the one before is in force",
            "see `godwit config check` with that file",
        )
    })
}

fn rollback_problem(loaded: &Loaded) -> Option<v1::Problem> {
    let why = loaded.going_back.as_ref()?;
    let subject = format!("configuration {}", loaded.path.display());
    Some(problem(subject, why, "see `godwit config history`"))
}

/// A peer that ought to be up and is not. (One that called from a range has no
/// duty to be there.)
fn peer_problem(peer: &PeerStatus) -> Option<v1::Problem> {
    let range = matches!(peer.origin, PeerOrigin::Range(_));
    if peer.disabled || range || peer.state == State::Established {
        return None;
    }
    let why = match &peer.last_error {
        _ if peer.address.is_unspecified() => peer
            .finding
            .as_ref()
            .map_or_else(String::new, |f| f.note.to_string()),
        _ if let Some(excess) = peer.excess() => format!("{}: {excess}", peer.state),
        Some((_, error)) => format!("{}: {error}", peer.state),
        None if peer.config.passive => format!("{}: it has not called yet", peer.state),
        None => peer.state.to_string(),
    };
    Some(problem(
        format!("peer {}", peer.name),
        why,
        &format!("see `godwit peer explain {}`", peer.name),
    ))
}

/// Settings without which the host routes nothing for others.
fn host_settings(fib: bool) -> Vec<v1::HostSetting> {
    const WANTED: [(&str, &str); 2] = [
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
    ];
    if !fib {
        return Vec::new();
    }
    let setting = |(name, wanted): (&str, &str)| {
        // A kernel without IPv6 has none of its settings.
        let value = sysctl(name)?;
        Some(v1::HostSetting {
            name: name.into(),
            ok: value == wanted,
            value,
            wanted: wanted.into(),
        })
    };
    WANTED.into_iter().filter_map(setting).collect()
}

fn sysctl(name: &str) -> Option<String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| resident_in(&status))
        .unwrap_or_default()
}

/// "VmRSS:     1234 kB", proc(5).
fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tgodwitd\nVmRSS:\t    2048 kB\nVmData:\t 1 kB\n";
        assert_eq!(resident_in(status), Some(2 << 20));
        assert_eq!(resident_in("Name: x\n"), None);
    }

    #[test]
    fn what_the_kernel_refused_is_a_problem() {
        let fib = v1::FibStatus {
            failed: 2,
            ..v1::FibStatus::default()
        };
        assert!(routes_problem(&fib).is_some());
        assert!(routes_problem(&v1::FibStatus::default()).is_none());
    }

    #[test]
    fn a_way_back_that_is_not_done_is_a_problem_and_no_refusal() {
        let config = godwit_config::parse("x", "[router]\nasn = 64512\n").unwrap();
        let mut loaded = Loaded {
            config: Arc::new(config),
            text: "".into(),
            revision: 3,
            path: "godwit.toml".into(),
            at: std::time::SystemTime::now(),
            last_error: None,
            going_back: None,
        };
        assert!(rollback_problem(&loaded).is_none());
        loaded.going_back = Some("cannot write".to_owned());
        assert_eq!(rollback_problem(&loaded).unwrap().what, "cannot write");
        assert!(file_problem(&loaded).is_none());
    }
}
