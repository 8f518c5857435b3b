//! `godwit peer`: neighbours and their sessions.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use godwit_proto::v1::{
    AddPath, AddPeerRequest, BfdSpec, DefaultOriginate, Direction, DisablePeerRequest,
    EnablePeerRequest, Family, GetPeerRequest, ListPeersRequest, Peer, PeerSource, PeerSpec,
    RefreshPeerRequest, RemovePeerRequest, ResetPeerRequest, SessionState,
};

use self::limit::LimitArg;
use self::path::PathArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Cell, Out, Table, Tone, or_dash};
use crate::span;

mod bfd;
mod explain;
mod history;
mod limit;
mod path;
mod show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Every peer, a line each.
    List,
    /// One peer: session, timers, counters, capabilities, last error.
    Show { address: String },
    /// Why a peer is not up: what is wrong, what shows it, what to try.
    ///
    /// Exit status 1 when it is not established.
    Explain { address: String },
    /// Add a peer. It lives on as `[api] changes` says: by default also over a
    /// restart.
    Add(Box<Add>),
    /// Remove a peer that was added so.
    Remove {
        address: String,
        #[command(flatten)]
        told: Told,
    },
    /// Let a disabled peer's session start again.
    Enable { address: String },
    /// End the session and start no other, also after a restart (`[api] changes`).
    Disable {
        address: String,
        #[command(flatten)]
        told: Told,
    },
    /// Do both directions anew without touching the session, or end it.
    Reset {
        address: String,
        /// End the session; it comes back by itself.
        #[arg(long)]
        hard: bool,
        /// Text for the neighbour's operator (RFC 9003).
        #[arg(long, value_name = "TEXT", requires = "hard", value_parser = told)]
        message: Option<String>,
    },
    /// Have routes sent again.
    #[command(group = clap::ArgGroup::new("direction").required(true))]
    Refresh {
        address: String,
        /// Ask the peer for its routes.
        #[arg(long = "in", group = "direction")]
        inward: bool,
        /// Send the peer ours.
        #[arg(long, group = "direction")]
        out: bool,
        /// Only these families.
        #[arg(long, value_enum, value_name = "FAMILY")]
        family: Vec<FamilyArg>,
    },
}

#[derive(Debug, clap::Args)]
pub struct Told {
    /// Text for the neighbour's operator (RFC 9003).
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = told)]
    message: String,
}

/// The longest that RFC 9003 §2 has room for.
fn told(text: &str) -> Result<String, String> {
    match text.len() {
        0..=255 => Ok(text.to_owned()),
        n => Err(format!("{n} bytes; RFC 9003 has room for 255")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FamilyArg {
    #[value(alias = "ipv4", alias = "4")]
    Ipv4Unicast,
    #[value(alias = "ipv6", alias = "6")]
    Ipv6Unicast,
}

impl FamilyArg {
    pub fn number(self) -> i32 {
        match self {
            FamilyArg::Ipv4Unicast => Family::Ipv4Unicast as i32,
            FamilyArg::Ipv6Unicast => Family::Ipv6Unicast as i32,
        }
    }
}

/// What is left out comes from the group, else is the default.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// Of the neighbour; or the interface that it is on, such as `eth1`.
    address: String,
    /// A number, `external` or `internal`.
    #[arg(long, value_name = "AS", required_unless_present = "group")]
    remote_as: Option<String>,
    /// A peer group of the configuration file.
    #[arg(long)]
    group: Option<String>,
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Wait for the neighbour to call.
    #[arg(long)]
    passive: bool,
    /// Do not start a session until `peer enable`.
    #[arg(long)]
    disabled: bool,
    /// As `9s`; 0s: no keepalives.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    hold_time: Option<Duration>,
    /// Between keepalives; a third of the hold time where absent.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    keepalive: Option<Duration>,
    /// Between attempts to connect.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    connect_retry: Option<Duration>,
    /// How long it may take nothing of what we send (RFC 9687).
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    send_hold_time: Option<Duration>,
    /// How long stale routes stay where it does not end a refresh (RFC 7313).
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    refresh_timeout: Option<Duration>,
    /// Whether its routes are kept while it restarts (RFC 4724); they are,
    /// unless told otherwise.
    #[arg(long, value_name = "BOOL")]
    graceful_restart: Option<bool>,
    /// How long at most.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    stale_time: Option<Duration>,
    #[arg(long, value_name = "ADDRESS")]
    local_address: Option<String>,
    #[arg(long)]
    port: Option<u16>,
    /// The neighbour is not on a link of ours: time to live of the packets.
    #[arg(long, value_name = "TTL")]
    multihop: Option<u8>,
    /// Hops to the neighbour at most, as its packets' TTL proves (RFC 5082): 1
    /// for one on a link of ours; 0 switches off what the group has on.
    #[arg(long, value_name = "HOPS", conflicts_with = "multihop")]
    ttl_security: Option<u8>,
    /// A file of the daemon's host with the TCP-MD5 key.
    #[arg(long, value_name = "PATH")]
    password_file: Option<String>,
    /// The only interface that the session's packets pass.
    #[arg(long, value_name = "NAME")]
    local_interface: Option<String>,
    /// Reflect for it (RFC 4456).
    #[arg(long)]
    route_reflector_client: bool,
    /// Announce ourselves as the next hop.
    #[arg(long)]
    next_hop_self: bool,
    /// Send it a default route of our own.
    #[arg(long)]
    default_originate: bool,
    /// Only while there is a route to this prefix, or to one of this prefix set.
    #[arg(long, value_name = "PREFIX|SET", requires = "default_originate")]
    default_if: Option<String>,
    /// Of its routes; looked at before all that they carry, higher wins.
    #[arg(long)]
    weight: Option<u32>,
    /// Drop what its routes with the community `blackhole` name.
    #[arg(long)]
    blackhole_community: bool,
    /// Whether its routes with the community `graceful-shutdown` are the last
    /// choice; an external peer's are, unless told otherwise.
    #[arg(long, value_name = "BOOL")]
    graceful_shutdown: Option<bool>,
    /// Offer that IPv4 routes have IPv6 next hops (RFC 8950).
    #[arg(long)]
    extended_next_hop: bool,
    /// Routing policies for what it announces, in order.
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    import: Vec<String>,
    /// Routing policies for what is announced to it, in order.
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    export: Vec<String>,
    /// Both, unless some are named.
    #[arg(long, value_enum, value_name = "FAMILY")]
    family: Vec<FamilyArg>,
    /// Prefixes that it may announce, as `ipv4-unicast=1000:restart:15m`; then
    /// warn, discard, restart or disable.
    #[arg(long, value_name = "FAMILY=MAX[:THEN[:SPAN]]", value_parser = limit::parse)]
    prefix_limit: Vec<LimitArg>,
    /// The same for what it is sent; warn, restart or disable.
    #[arg(long, value_name = "FAMILY=MAX[:THEN[:SPAN]]", value_parser = limit::parse)]
    prefix_limit_out: Vec<LimitArg>,
    #[command(flatten)]
    path: PathArgs,
    /// Take several paths of a prefix from it (RFC 7911).
    #[arg(long)]
    add_path_receive: bool,
    /// Send it several, if it takes them: so many of the best, `all` or `ecmp`.
    #[arg(
        long,
        value_name = "PATHS",
        default_value = "",
        hide_default_value = true
    )]
    add_path_send: String,
    /// Watch the path to it with BFD: `on`, `off`, or the interval and how many
    /// lost packets count.
    #[arg(long, value_name = "INTERVAL[:MULTIPLIER]", value_parser = bfd::parse)]
    bfd: Option<BfdSpec>,
}

impl Add {
    fn default_originate(&self) -> Option<DefaultOriginate> {
        self.default_originate.then(|| DefaultOriginate {
            condition: self.default_if.clone().unwrap_or_default(),
            policy: Vec::new(),
        })
    }
}

pub async fn run(command: &Command, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        Command::List => list(client, out).await,
        Command::Show { address } => show(address, client, out).await,
        Command::Explain { address } => explain::run(address, client, out).await,
        Command::Add(add) => add_peer(add, client, out).await,
        Command::Remove { address, told } => {
            let request = RemovePeerRequest {
                address: address.clone(),
                message: told.message.clone(),
            };
            let answer = client.peers().remove_peer(request).await?;
            done(out, &answer.into_inner(), "removed")
        }
        Command::Enable { address } => {
            let request = EnablePeerRequest {
                address: address.clone(),
            };
            let answer = client.peers().enable_peer(request).await?;
            done(out, &answer.into_inner(), "enabled")
        }
        Command::Disable { address, told } => {
            let request = DisablePeerRequest {
                address: address.clone(),
                message: told.message.clone(),
            };
            let answer = client.peers().disable_peer(request).await?;
            let text = "disabled";
            done(out, &answer.into_inner(), text)
        }
        Command::Reset {
            address,
            hard,
            message,
        } => {
            let request = ResetPeerRequest {
                address: address.clone(),
                hard: *hard,
                message: message.clone().unwrap_or_default(),
            };
            let answer = client.peers().reset_peer(request).await?;
            done(out, &answer.into_inner(), "reset")
        }
        Command::Refresh {
            address,
            inward,
            family,
            ..
        } => {
            let direction = if *inward {
                Direction::In
            } else {
                Direction::Out
            };
            let request = RefreshPeerRequest {
                address: address.clone(),
                direction: direction as i32,
                families: family.iter().map(|f| f.number()).collect(),
            };
            let answer = client.peers().refresh_peer(request).await?;
            done(out, &answer.into_inner(), "refresh begun")
        }
    }
}

fn done(out: &mut Out, answer: &impl serde::Serialize, text: &str) -> Result<(), Failure> {
    if out.json {
        out.json(answer)
    } else {
        out.line(text)
    }
}

async fn list(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.peers().list_peers(ListPeersRequest {}).await?;
    let answer = answer.into_inner();
    if out.json {
        return out.json(&answer);
    }
    table(&answer.peers, out)
}

async fn show(address: &str, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let request = GetPeerRequest {
        address: address.to_owned(),
    };
    let answer = client.peers().get_peer(request).await?.into_inner();
    if out.json {
        return out.json(&answer);
    }
    match &answer.peer {
        Some(peer) => {
            show::print(peer, out)?;
            history::print(&answer, out)
        }
        None => Err(Failure::Refused(format!("no peer {address}"))),
    }
}

async fn add_peer(add: &Add, client: &Client, out: &mut Out) -> Result<(), Failure> {
    let request = AddPeerRequest {
        peer: Some(spec(add)?),
    };
    let answer = client.peers().add_peer(request).await?.into_inner();
    done(out, &answer, "added")
}

fn spec(add: &Add) -> Result<PeerSpec, Failure> {
    let span = |option, span: Option<Duration>| {
        span.map(prost_types::Duration::try_from)
            .transpose()
            .map_err(|e| Failure::Usage(format!("--{option}: {e}")))
    };
    let limits = limit::messages(&add.prefix_limit, &add.prefix_limit_out);
    let add_path = add.add_path_receive || !add.add_path_send.is_empty();
    // The API wants the families to be named that these are for.
    let families = match add.family.is_empty() && (add_path || !limits.is_empty()) {
        true => FamilyArg::value_variants(),
        false => &add.family,
    };
    let add_path = families.iter().filter(|_| add_path).map(|family| AddPath {
        family: family.number(),
        receive: add.add_path_receive,
        send: add.add_path_send.clone(),
    });
    Ok(PeerSpec {
        add_path: add_path.collect(),
        bfd: add.bfd,
        address: add.address.clone(),
        group: add.group.clone().unwrap_or_default(),
        remote_as: add.remote_as.clone().unwrap_or_default(),
        description: add.description.clone().unwrap_or_default(),
        passive: add.passive.then_some(true),
        disabled: add.disabled.then_some(true),
        hold_time: span("hold-time", add.hold_time)?,
        keepalive: span("keepalive", add.keepalive)?,
        connect_retry: span("connect-retry", add.connect_retry)?,
        refresh_timeout: span("refresh-timeout", add.refresh_timeout)?,
        graceful_restart: add.graceful_restart,
        stale_time: span("stale-time", add.stale_time)?,
        send_hold_time: span("send-hold-time", add.send_hold_time)?,
        local_address: add.local_address.clone().unwrap_or_default(),
        port: add.port.map(u32::from),
        route_reflector_client: add.route_reflector_client.then_some(true),
        next_hop_self: add.next_hop_self.then_some(true),
        extended_next_hop: add.extended_next_hop.then_some(true),
        import: add.import.clone(),
        export: add.export.clone(),
        families: families.iter().map(|f| f.number()).collect(),
        limits,
        multihop: add.multihop.map(u32::from),
        path: Some(add.path.message()),
        weight: add.weight,
        default_originate: add.default_originate(),
        blackhole_community: add.blackhole_community.then_some(true),
        graceful_shutdown: add.graceful_shutdown,
        ttl_security: add.ttl_security.map(u32::from),
        password_file: add.password_file.clone().unwrap_or_default(),
        local_interface: add.local_interface.clone().unwrap_or_default(),
    })
}

/// A line a peer.
pub fn table(peers: &[Peer], out: &mut Out) -> Result<(), Failure> {
    if peers.is_empty() {
        return out.line("no peers");
    }
    let mut table = Table::new(&[
        "PEER",
        "AS",
        "STATE",
        "FOR",
        "RECEIVED",
        "ACCEPTED",
        "ADVERTISED",
        "DESCRIPTION",
    ]);
    for peer in peers {
        table.row(row(peer));
    }
    out.table(&mut table)
}

fn row(peer: &Peer) -> [Cell; 8] {
    let sum = |count: fn(&godwit_proto::v1::PeerFamily) -> u64| -> Cell {
        peer.families.iter().map(count).sum::<u64>().into()
    };
    [
        peer.address.clone().into(),
        asn(peer.remote_asn).into(),
        state(peer),
        span::age(peer.state_since.as_ref()).into(),
        sum(|f| f.received),
        sum(|f| f.accepted),
        sum(|f| f.advertised),
        described(peer).into(),
    ]
}

/// The description, and what is remarkable about the peer.
fn described(peer: &Peer) -> String {
    let mut parts = Vec::new();
    if !peer.neighbour.is_empty() {
        parts.push(peer.neighbour.clone());
    }
    if !peer.description.is_empty() {
        parts.push(peer.description.clone());
    }
    if peer.source() == PeerSource::Runtime {
        parts.push("(added at run time)".into());
    }
    if !peer.note.is_empty() && !peer.disabled {
        parts.push(format!("({})", peer.note));
    } else if peer.state() != SessionState::Established
        && !peer.disabled
        && let Some(error) = &peer.last_error
    {
        parts.push(format!("({})", error.text));
    }
    parts.join(" ")
}

pub fn asn(number: u32) -> String {
    match number {
        0 => "-".into(),
        n => n.to_string(),
    }
}

pub fn state(peer: &Peer) -> Cell {
    match (peer.disabled, peer.state()) {
        (true, _) => Cell::new("Disabled", Tone::Dim),
        (_, SessionState::Established) => Cell::new("Established", Tone::Good),
        (_, state) => Cell::new(state_name(state), Tone::Bad),
    }
}

/// As RFC 4271 spells them.
pub fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Unspecified => "-",
        SessionState::Idle => "Idle",
        SessionState::Connect => "Connect",
        SessionState::Active => "Active",
        SessionState::OpenSent => "OpenSent",
        SessionState::OpenConfirm => "OpenConfirm",
        SessionState::Established => "Established",
    }
}

/// Policies in order, for people.
fn chain(names: &[String]) -> String {
    or_dash(names.join(", "))
}
