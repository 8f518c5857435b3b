//! `godwit route`: what was received, chosen and announced; own routes.

use clap::Subcommand;
use godwit_proto::text::{Community, LargeCommunity, StandardCommunity};
use godwit_proto::v1::route_filter::PrefixMatch;
use godwit_proto::v1::{
    AddRouteRequest, ExplainRouteRequest, ListRoutesRequest, LookupRouteRequest,
    RemoveRouteRequest, RouteFilter, View,
};
use ipnet::IpNet;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Out;
use crate::peer::FamilyArg;

pub mod show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Best routes, or those from or to a peer.
    List(Box<List>),
    /// Every path: longest match for an address, exact for a prefix.
    Show { target: String },
    /// Why the best path is the best one, and who is told of it.
    Explain { target: String },
    /// Announce a prefix of this host, also after a restart (`[api] changes`).
    Add(Add),
    /// Announce it no more.
    Remove {
        #[arg(value_parser = prefix)]
        prefix: IpNet,
    },
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// Only of this peer; `local`: own routes. Alone: what was received.
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<String>,
    /// As announced to us, before import policy.
    #[arg(long, group = "view")]
    received: bool,
    /// What import policy let in.
    #[arg(long, group = "view")]
    accepted: bool,
    /// What was not let in, and why.
    #[arg(long, group = "view")]
    rejected: bool,
    /// As announced to the peer.
    #[arg(long, group = "view", requires = "peer")]
    advertised: bool,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// All that are given must hold.
#[derive(Debug, Default, clap::Args)]
pub struct Filter {
    #[arg(long, value_enum)]
    family: Option<FamilyArg>,
    /// Only this prefix and everything within it.
    #[arg(long, value_name = "PREFIX", value_parser = prefix, group = "prefix_match")]
    longer: Option<IpNet>,
    /// Only this prefix and everything around it.
    #[arg(long, value_name = "PREFIX", value_parser = prefix, group = "prefix_match")]
    covering: Option<IpNet>,
    /// Only with this community, of any kind: `64512:100`, `rt:64512:100`.
    #[arg(long, value_parser = any_community)]
    community: Option<String>,
    /// Only from this AS.
    #[arg(
        long,
        value_name = "AS",
        default_value_t = 0,
        hide_default_value = true
    )]
    origin_as: u32,
    /// Only through this AS.
    #[arg(
        long,
        value_name = "AS",
        default_value_t = 0,
        hide_default_value = true
    )]
    through_as: u32,
    /// Only with this next hop.
    #[arg(long, value_name = "ADDRESS")]
    next_hop: Option<std::net::IpAddr>,
}

impl Filter {
    pub fn message(&self) -> RouteFilter {
        let (prefix, prefix_match) = match (self.longer, self.covering) {
            (Some(p), _) => (p.to_string(), PrefixMatch::Longer),
            (_, Some(p)) => (p.to_string(), PrefixMatch::Covering),
            _ => (String::new(), PrefixMatch::Unspecified),
        };
        RouteFilter {
            family: self.family.map_or(0, FamilyArg::number),
            view: View::Best as i32,
            peer: String::new(),
            prefix,
            prefix_match: prefix_match as i32,
            community: self.community.clone().unwrap_or_default(),
            origin_asn: self.origin_as,
            as_path_contains: self.through_as,
            next_hop: self.next_hop.map(|a| a.to_string()).unwrap_or_default(),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Add {
    #[arg(value_parser = prefix)]
    prefix: IpNet,
    /// Have the kernel drop what no more specific route takes.
    #[arg(long)]
    blackhole: bool,
    #[arg(long, value_name = "NUMBER")]
    local_pref: Option<u32>,
    #[arg(long, value_name = "NUMBER")]
    med: Option<u32>,
    /// As `64512:100` or `no-export`; several with commas.
    #[arg(long, value_delimiter = ',', value_parser = community)]
    community: Vec<String>,
    /// As `64512:1:2`; several with commas.
    #[arg(long, value_delimiter = ',', value_parser = large_community)]
    large_community: Vec<String>,
    /// As `rt:64512:1` or `rt:[2001:db8::1]:1`; several with commas.
    #[arg(long, value_delimiter = ',', value_parser = extended_community)]
    extended_community: Vec<String>,
}

/// A prefix whose host bits are zero: anything else is most likely a slip.
pub fn prefix(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text
        .parse()
        .map_err(|_| "not a prefix; write it like 10.244.1.0/24".to_owned())?;
    if net == net.trunc() {
        Ok(net)
    } else {
        Err(format!("has host bits set; did you mean {}?", net.trunc()))
    }
}

/// Text that is a community of the kind, as it is: the daemon reads it again.
fn any_community(text: &str) -> Result<String, String> {
    let parsed: Result<Community, _> = text.parse();
    parsed.map(|_| text.to_owned()).map_err(|e| e.to_string())
}

fn community(text: &str) -> Result<String, String> {
    let parsed: Result<StandardCommunity, _> = text.parse();
    parsed
        .map(|_| text.to_owned())
        .map_err(|_| "not a community; write it like 64512:100 or no-export".into())
}

fn large_community(text: &str) -> Result<String, String> {
    let parsed: Result<LargeCommunity, _> = text.parse();
    parsed
        .map(|_| text.to_owned())
        .map_err(|_| "not a large community; write it like 64512:1:2".into())
}

fn extended_community(text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(Community::Extended(_) | Community::Ipv6Extended(_)) => Ok(text.to_owned()),
        _ => Err("not an extended community; write it like rt:64512:100".into()),
    }
}

pub async fn run(command: &Command, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        Command::List(list) => {
            let request = ListRoutesRequest {
                filter: Some(list.message()),
                ..ListRoutesRequest::default()
            };
            self::list(request, list.limit.unwrap_or(u64::MAX), client, out).await
        }
        Command::Show { target } => {
            let request = LookupRouteRequest {
                target: target.clone(),
            };
            let answer = client.routes().lookup_route(request).await?.into_inner();
            if out.json {
                return out.json(&answer);
            }
            show::lookup(&answer, out)
        }
        Command::Explain { target } => {
            let request = ExplainRouteRequest {
                target: target.clone(),
            };
            let answer = client.routes().explain_route(request).await?.into_inner();
            if out.json {
                return out.json(&answer);
            }
            show::explanation(&answer, out)
        }
        Command::Add(add) => {
            let answer = client.routes().add_route(add.message()).await?;
            if out.json {
                return out.json(&answer.into_inner());
            }
            out.line("added")
        }
        Command::Remove { prefix } => {
            let request = RemoveRouteRequest {
                prefix: prefix.to_string(),
            };
            let answer = client.routes().remove_route(request).await?;
            if out.json {
                return out.json(&answer.into_inner());
            }
            out.line("removed")
        }
    }
}

impl List {
    fn message(&self) -> RouteFilter {
        let view = if self.advertised {
            View::Advertised
        } else if self.rejected {
            View::Rejected
        } else if self.accepted {
            View::Accepted
        } else if self.received || self.peer.is_some() {
            View::Received
        } else {
            View::Best
        };
        RouteFilter {
            view: view as i32,
            peer: self.peer.clone().unwrap_or_default(),
            ..self.filter.message()
        }
    }
}

impl Add {
    fn message(&self) -> AddRouteRequest {
        AddRouteRequest {
            prefix: self.prefix.to_string(),
            blackhole: self.blackhole,
            local_pref: self.local_pref,
            med: self.med,
            communities: self.community.clone(),
            large_communities: self.large_community.clone(),
            extended_communities: self.extended_community.clone(),
        }
    }
}

/// Paths a page; see `ListRoutesRequest.limit`.
const PAGE: u64 = 5000;

async fn list(
    mut request: ListRoutesRequest,
    mut left: u64,
    client: &Client,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut table = show::table();
    let mut list = out.begin_list("batches")?;
    while left > 0 {
        request.limit = left.min(PAGE) as u32;
        let page = client.routes().list_routes(request.clone()).await?;
        let page = page.into_inner();
        for batch in &page.batches {
            left = left.saturating_sub(batch.paths.len() as u64);
            if out.json {
                out.list_item(&mut list, batch)?;
            } else {
                show::rows(batch, &mut table);
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
