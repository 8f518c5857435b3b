//! `godwit fib`: what the daemon owns in the kernel.

use clap::Subcommand;
use godwit_proto::v1::fib_difference::Kind as Difference;
use godwit_proto::v1::fib_route::Kind;
use godwit_proto::v1::{CheckFibRequest, FibHop, FibRoute, FibState, ListFibRequest, NextHop};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Cell, Out, Table, Tone, or_dash};
use crate::peer::FamilyArg;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Our routes, and where each goes.
    List {
        #[arg(long, value_enum)]
        family: Option<FamilyArg>,
        /// Only what is not installed (yet).
        #[arg(long)]
        not_installed: bool,
        /// At most so many.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Read our routes back and compare; exit status 1 where they differ.
    Check,
}

/// Routes a page; see `ListFibRequest.limit`.
const PAGE: u64 = 5000;

pub async fn run(command: &Command, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        Command::List {
            family,
            not_installed,
            limit,
        } => {
            let request = ListFibRequest {
                family: family.map_or(0, FamilyArg::number),
                not_installed: *not_installed,
                ..ListFibRequest::default()
            };
            list(request, limit.unwrap_or(u64::MAX), client, out).await
        }
        Command::Check => check(client, out).await,
    }
}

async fn list(
    mut request: ListFibRequest,
    mut left: u64,
    client: &Client,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut table = Table::new(&["PREFIX", "TABLE", "METRIC", "VIA", "RESOLVED", "STATE"]);
    let mut list = out.begin_list("routes")?;
    while left > 0 {
        request.limit = left.min(PAGE) as u32;
        let page = client.fib().list_fib(request.clone()).await?.into_inner();
        left = left.saturating_sub(page.routes.len() as u64);
        for route in &page.routes {
            if out.json {
                out.list_item(&mut list, route)?;
            } else {
                table.row(row(route));
            }
        }
        if !out.json {
            out.table(&mut table)?;
        }
        if page.next_cursor.is_empty() {
            break;
        }
        request.cursor = page.next_cursor;
    }
    out.end_list(&list)
}

fn row(route: &FibRoute) -> [Cell; 6] {
    let via = match route.kind() {
        Kind::Blackhole => "blackhole".into(),
        _ => list_of(&route.next_hops, |h: &NextHop| h.address.clone()),
    };
    let mut resolved = hops(&route.resolved);
    if !route.preferred_source.is_empty() {
        resolved = format!("{resolved} src {}", route.preferred_source);
    }
    [
        route.prefix.as_str().into(),
        table_name(route.table).into(),
        route.metric.to_string().into(),
        or_dash(via).into(),
        or_dash(resolved).into(),
        state(route),
    ]
}

/// Neighbours with their links.
pub fn hops(hops: &[FibHop]) -> String {
    list_of(hops, |h: &FibHop| match h.weight {
        0 | 1 => format!("{} {}", h.via, h.interface),
        weight => format!("{} {} weight {weight}", h.via, h.interface),
    })
}

/// As `ip route` calls it.
pub fn table_name(table: u32) -> String {
    match table {
        253 => "default".into(),
        254 => "main".into(),
        other => other.to_string(),
    }
}

fn list_of<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

pub fn state(route: &FibRoute) -> Cell {
    match route.state() {
        FibState::Installed => Cell::new("installed", Tone::Good),
        FibState::Pending => Cell::new("pending", Tone::Warn),
        FibState::Adopted => Cell::new("of a former run", Tone::Warn),
        FibState::Connected => Cell::new("connected here", Tone::Dim),
        FibState::Foreign => Cell::new("another's route has our metric", Tone::Bad),
        FibState::Unreachable => Cell::new("next hop unreachable", Tone::Bad),
        FibState::Refused => Cell::new(format!("refused: {}", route.error), Tone::Bad),
        FibState::Unspecified => "-".into(),
    }
}

async fn check(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.fib().check_fib(CheckFibRequest {}).await?;
    let answer = answer.into_inner();
    if out.json {
        out.json(&answer)?;
    } else if answer.difference_count == 0 {
        out.line(format!(
            "the kernel has what it should: all {} routes",
            answer.wanted
        ))?;
    } else {
        let mut table = Table::new(&["PREFIX", "TABLE", "METRIC", "DIFFERENCE"]);
        for d in &answer.differences {
            let kind = match d.kind() {
                Difference::Missing => "missing",
                Difference::Unexpected => "unexpected",
                Difference::Different => "different",
                Difference::Unspecified => "-",
            };
            table.row([
                d.prefix.as_str().into(),
                table_name(d.table).into(),
                d.metric.to_string().into(),
                Cell::new(kind, Tone::Bad),
            ]);
        }
        out.table(&mut table)?;
        out.line(format!(
            "{} differences; {} routes wanted, {} found",
            answer.difference_count, answer.wanted, answer.found
        ))?;
    }
    if answer.difference_count == 0 {
        Ok(())
    } else {
        out.flush()?;
        Err(Failure::No)
    }
}
