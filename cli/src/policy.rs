//! `godwit route-policy`: the rules, and what they do to a route.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use godwit_bgp::Family;
use godwit_config::{Config, Trial};
use godwit_policy::route::{Direction, Registry};
use godwit_proto::policy;
use godwit_proto::v1::{
    ImportResult, ImportStep, ListPoliciesRequest, Origin, PolicyDirection, ShowPolicyRequest,
    TestPolicyRequest, TestPolicyResponse, TestRoute,
};
use ipnet::IpNet;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Out, Table, Tone, colour_on_stderr};
use crate::route::prefix;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// All policies, and who uses them.
    List,
    /// The rules of one.
    Show { name: String },
    /// What a policy does with a route: the verdict, the rule that decided,
    /// the way through the rules, and what they change. Exit status 1 where the
    /// route is rejected.
    ///
    /// Without attributes (--as-path, --community and the like) the route is
    /// the one in the table: as received from --peer, or, with --export, as let
    /// in from --source.
    Test(Box<Test>),
}

#[derive(Debug, clap::Args)]
pub struct Test {
    #[arg(long, value_parser = prefix)]
    prefix: IpNet,
    /// Whose policies to ask, and what else import does for its session.
    #[arg(long, value_name = "PEER", required_unless_present = "policy")]
    peer: Option<String>,
    /// Ask these instead, in this order.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    policy: Vec<String>,
    /// As the route comes in; the default.
    #[arg(long, group = "direction")]
    import: bool,
    /// As it goes out to the peer.
    #[arg(long, group = "direction")]
    export: bool,
    /// With --export, where the route comes from: a peer, `local`,
    /// `aggregate`, `external`, `internal` or `client`.
    #[arg(long, value_name = "WHERE", requires = "export")]
    source: Option<String>,
    /// As `65001 65002 {65003,65004}`.
    #[arg(long, value_name = "PATH")]
    as_path: Option<String>,
    #[arg(long, value_enum)]
    origin: Option<OriginArg>,
    #[arg(long, value_name = "ADDRESS")]
    next_hop: Option<IpAddr>,
    #[arg(long, value_name = "NUMBER")]
    med: Option<u32>,
    #[arg(long, value_name = "NUMBER")]
    local_pref: Option<u32>,
    /// Of any kind: `64512:100`, `64512:1:2`, `rt:64512:7`; several with commas.
    #[arg(long, value_delimiter = ',')]
    community: Vec<String>,
    #[arg(long, value_name = "NUMBER")]
    weight: Option<u32>,
    /// As RFC 9234 marks it.
    #[arg(long, value_name = "AS")]
    only_to_customer: Option<u32>,
    /// Ask this file, without a daemon.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OriginArg {
    Igp,
    Egp,
    Incomplete,
}

impl Test {
    /// Whether it needs no daemon.
    pub fn is_offline(&self) -> bool {
        self.config.is_some()
    }

    fn message(&self) -> TestPolicyRequest {
        let direction = match self.export {
            true => PolicyDirection::Export,
            false => PolicyDirection::Import,
        };
        let route = TestRoute {
            as_path: self.as_path.clone().unwrap_or_default(),
            origin: match self.origin {
                None => Origin::Unspecified,
                Some(OriginArg::Igp) => Origin::Igp,
                Some(OriginArg::Egp) => Origin::Egp,
                Some(OriginArg::Incomplete) => Origin::Incomplete,
            } as i32,
            next_hop: self.next_hop.map(|a| a.to_string()).unwrap_or_default(),
            med: self.med,
            local_pref: self.local_pref,
            communities: self.community.clone(),
            weight: self.weight.unwrap_or(0),
            only_to_customer: self.only_to_customer,
        };
        // A file has no table to take a route from.
        let given = self.is_offline() || self.as_path.is_some() || route != TestRoute::default();
        TestPolicyRequest {
            prefix: self.prefix.to_string(),
            direction: direction as i32,
            peer: self.peer.clone().unwrap_or_default(),
            policies: self.policy.clone(),
            source: self.source.clone().unwrap_or_default(),
            route: given.then_some(route),
        }
    }
}

pub async fn run(command: &Command, client: &Client, out: &mut Out) -> Result<(), Failure> {
    match command {
        Command::List => {
            let mut policies = client.route_policy();
            let answer = policies.list_policies(ListPoliciesRequest {}).await?;
            let answer = answer.into_inner();
            if out.json {
                return out.json(&answer);
            }
            let mut table = Table::new(&["NAME", "RULES", "CALLED BY", "IMPORT OF", "EXPORT OF"]);
            for policy in &answer.policies {
                let rules = match policy.builtin {
                    true => "built in".to_owned(),
                    false => policy.rules.to_string(),
                };
                table.row([
                    policy.name.clone().into(),
                    rules.into(),
                    policy.called_by.join(" ").into(),
                    policy.import_of.join(" ").into(),
                    policy.export_of.join(" ").into(),
                ]);
            }
            out.table(&mut table)
        }
        Command::Show { name } => {
            let request = ShowPolicyRequest { name: name.clone() };
            let answer = client.route_policy().show_policy(request).await?;
            let answer = answer.into_inner();
            if out.json {
                return out.json(&answer);
            }
            for rule in &answer.rules {
                out.line(format!("{} rule {}", answer.name, rule.number))?;
                let parts = [
                    ("match", &rule.r#match),
                    ("unless", &rule.unless),
                    ("set", &rule.set),
                    ("call", &rule.call),
                    ("then", &rule.then),
                ];
                for (name, text) in parts.iter().filter(|(_, text)| !text.is_empty()) {
                    out.line(format!("  {name:<7} {text}"))?;
                }
            }
            Ok(())
        }
        Command::Test(test) => {
            let answer = client.route_policy().test_policy(test.message()).await?;
            show(&answer.into_inner(), out)
        }
    }
}

/// The same without a daemon.
pub fn offline(test: &Test, out: &mut Out) -> Result<(), Failure> {
    let Some(file) = &test.config else {
        return Ok(());
    };
    let config = match godwit_config::load_with(file, &Registry::unchecked()) {
        Ok(config) => config,
        Err(errors) => {
            out.flush()?;
            eprintln!("{}", errors.render(colour_on_stderr()));
            return Err(Failure::No);
        }
    };
    let request = test.message();
    let route = request.route.clone().unwrap_or_default();
    let family = Family::of(&test.prefix.addr());
    let known = |name: &str| config.trial_peer(name).map_err(Failure::Usage);
    let peer = test.peer.as_deref().map(known).transpose()?;
    let next_hop = peer.as_ref().and_then(|peer| peer.next_hop(family));
    let next_hop = next_hop.unwrap_or_else(|| policy::no_next_hop(family));
    let attrs = policy::attributes(&route, next_hop)
        .map_err(|(field, why)| Failure::Usage(format!("{field}: {why}")))?;
    let from = match Config::is_source_word(&request.source) {
        true => None,
        false => Some(known(&request.source)?),
    };
    let trial = Trial {
        prefix: test.prefix,
        direction: match test.export {
            true => Direction::Export,
            false => Direction::Import,
        },
        peer,
        policies: (!test.policy.is_empty()).then(|| test.policy.clone()),
        source: config.trial_source(&request.source, from.as_ref()),
        attrs,
        has_next_hop: test.next_hop.is_some(),
    };
    let tried = config.try_route(&trial).map_err(Failure::Usage)?;
    let (before, after) = (trial.attrs.as_ref(), tried.after.as_ref());
    let answer = policy::response(&tried.steps, &tried.decision, before, after);
    show(&answer, out)
}

fn show(answer: &TestPolicyResponse, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        out.json(answer)?;
    } else {
        let (verdict, tone) = match answer.accepted {
            true => ("accepted", Tone::Good),
            false => ("rejected", Tone::Bad),
        };
        let verdict = out.paint(tone, verdict);
        let refused = |step: &&ImportStep| step.result() == ImportResult::Refused;
        let refused = answer.import_steps.iter().find(refused);
        out.line(match refused {
            Some(_) => format!("{verdict} before policy: {}", answer.decided_by),
            None => format!("{verdict} by {}", answer.decided_by),
        })?;
        show_import(answer, out)?;
        if !answer.steps.is_empty() {
            out.line("\nrules asked:")?;
        }
        for step in &answer.steps {
            let name = match step.rule {
                0 => step.policy.clone(),
                rule => format!("{} rule {rule}", step.policy),
            };
            let said = match (step.applied, step.because.as_str()) {
                (true, _) => "applies".to_owned(),
                (false, "") => "does not decide".to_owned(),
                (false, because) => match because.strip_prefix("unless.") {
                    Some(_) => format!("no: {because} holds"),
                    None => format!("no: {because} does not hold"),
                },
            };
            out.line(format!("  {name:<24} {said}"))?;
        }
        if !answer.changes.is_empty() {
            out.line("\nchanges:")?;
        }
        let or_none = |text: &str| match text {
            "" => "none".to_owned(),
            text => text.to_owned(),
        };
        for change in &answer.changes {
            let (before, after) = (or_none(&change.before), or_none(&change.after));
            out.line(format!("  {:<16} {before} → {after}", change.name))?;
        }
    }
    match answer.accepted {
        true => Ok(()),
        false => Err(Failure::No),
    }
}

/// What import does besides policy.
fn show_import(answer: &TestPolicyResponse, out: &mut Out) -> Result<(), Failure> {
    if !answer.import_steps.is_empty() {
        out.line("\nimport:")?;
    }
    for step in &answer.import_steps {
        let said = match step.result() {
            ImportResult::Passed | ImportResult::Unspecified => "passes: ",
            ImportResult::Refused => "refused: ",
            ImportResult::Changed => "sets: ",
        };
        out.line(format!("  {:<24} {said}{}", step.name, step.detail))?;
    }
    Ok(())
}
