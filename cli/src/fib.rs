//! `godwit fib`: what the daemon owns in the kernel.

use clap::Subcommand;
use godwit_proto::v1::fib_difference::Kind as Difference;
use godwit_proto::v1::fib_route::Kind;
use godwit_proto::v1::{CheckFibRequest, FibNextHop, FibPath, FibRoute, ListFibRequest};

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
    let mut table = Table::new(&["PREFIX", "VIA", "RESOLVED", "STATE"]);
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

fn row(route: &FibRoute) -> [Cell; 4] {
    let via = route.next_hops.iter().map(|h| h.address.clone());
    let (via, resolved) = match route.kind() {
        Kind::Blackhole => ("blackhole".into(), "-".into()),
        _ => (
            via.collect::<Vec<_>>().join(", "),
            or_dash(
                route
                    .next_hops
                    .iter()
                    .map(resolution)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        ),
    };
    let state = match (route.installed, route.error.as_str()) {
        (true, _) => Cell::new("installed", Tone::Good),
        (false, "") => Cell::new("pending", Tone::Warn),
        (false, error) => Cell::new(format!("failed: {error}"), Tone::Bad),
    };
    [
        route.prefix.clone().into(),
        via.into(),
        resolved.into(),
        state,
    ]
}

fn resolution(hop: &FibNextHop) -> String {
    let path = |p: &FibPath| match p.gateway.as_str() {
        "" => p.interface.clone(),
        gateway => format!("{gateway} {}", p.interface),
    };
    match hop.paths.as_slice() {
        [] => "unreachable".into(),
        paths => paths.iter().map(path).collect::<Vec<_>>().join(" + "),
    }
}

async fn check(client: &Client, out: &mut Out) -> Result<(), Failure> {
    let answer = client.fib().check_fib(CheckFibRequest {}).await?;
    let answer = answer.into_inner();
    if out.json {
        out.json(&answer)?;
    } else if answer.difference_count == 0 {
        out.line(format!(
            "the kernel has what it should: {} routes compared",
            answer.checked
        ))?;
    } else {
        let mut table = Table::new(&["PREFIX", "DIFFERENCE", "WANTED", "FOUND"]);
        for d in &answer.differences {
            let kind = match d.kind() {
                Difference::Missing => "missing",
                Difference::Unexpected => "unexpected",
                Difference::Different => "different",
                Difference::Unspecified => "-",
            };
            table.row([
                d.prefix.clone().into(),
                Cell::new(kind, Tone::Bad),
                or_dash(&d.wanted).into(),
                or_dash(&d.found).into(),
            ]);
        }
        out.table(&mut table)?;
        out.line(format!(
            "{} differences in {} routes",
            answer.difference_count, answer.checked
        ))?;
    }
    if answer.difference_count == 0 {
        Ok(())
    } else {
        out.flush()?;
        Err(Failure::No)
    }
}
