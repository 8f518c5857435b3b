//! AS numbers, roles and kinds of communities of a peer.

use godwit_proto::v1::{CommunityKinds, LocalAs, PathRules, Peer};

use crate::failure::Failure;
use crate::output::Out;

const KINDS: [&str; 3] = ["standard", "extended", "large"];

#[derive(Debug, clap::Args)]
pub struct PathArgs {
    /// The AS number by which this neighbour knows us.
    #[arg(long, value_name = "AS")]
    local_as: Option<u32>,
    /// Don't put it before the paths that come in.
    #[arg(long, requires = "local_as")]
    no_prepend: bool,
    /// Put it alone before the paths that go out.
    #[arg(long, requires = "local_as")]
    replace_as: bool,
    /// The neighbour may know us by the router's own number instead.
    #[arg(long, requires = "local_as")]
    dual_as: bool,
    /// How often our own AS number may stand in its paths.
    #[arg(long, value_name = "COUNT")]
    allow_as_in: Option<u32>,
    /// Put our AS number in the place of its own.
    #[arg(long)]
    as_override: bool,
    /// Private AS numbers in paths to it; `true`: where there are no others.
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = ["true", "all", "replace", "all-replace"]
    )]
    remove_private_as: Option<String>,
    /// Its paths must begin with its AS number.
    #[arg(long, value_name = "BOOL")]
    enforce_first_as: Option<bool>,
    /// Routes with an AS_SET in the path.
    #[arg(long, value_parser = ["withdraw", "accept"])]
    as_set: Option<String>,
    /// AS numbers in a path at most.
    #[arg(long, value_name = "COUNT")]
    max_as_path_length: Option<u32>,
    /// What we are to it (RFC 9234).
    #[arg(long, value_parser = ["provider", "customer", "peer", "rs-server", "rs-client"])]
    role: Option<String>,
    /// Refuse it unless it says its role.
    #[arg(long, requires = "role")]
    role_strict: bool,
    /// Kinds of communities that it is sent, with commas.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = KINDS)]
    send_communities: Vec<String>,
}

impl PathArgs {
    pub fn message(&self) -> PathRules {
        PathRules {
            local_as: self.local_as.map(|asn| LocalAs {
                asn,
                no_prepend: self.no_prepend,
                replace_as: self.replace_as,
                dual_as: self.dual_as,
            }),
            allow_as_in: self.allow_as_in,
            as_override: self.as_override.then_some(true),
            remove_private_as: self.remove_private_as.clone(),
            enforce_first_as: self.enforce_first_as,
            accept_as_set: self.as_set.as_ref().map(|text| text == "accept"),
            max_as_path_length: self.max_as_path_length,
            role: self.role.clone(),
            role_strict: self.role_strict.then_some(true),
            send_communities: (!self.send_communities.is_empty()).then(|| CommunityKinds {
                kinds: self.send_communities.clone(),
            }),
        }
    }
}

/// What of the rules is not as it is without any.
pub fn print(peer: &Peer, out: &mut Out) -> Result<(), Failure> {
    let Some(rules) = &peer.path else {
        return Ok(());
    };
    if let Some(role) = &rules.role {
        let theirs = peer.session.as_ref().map(|s| s.remote_role.as_str());
        let theirs = match theirs {
            None => String::new(),
            Some("") => ", the peer says none".into(),
            Some(role) => format!(", the peer is {role}"),
        };
        let strict = if rules.role_strict() { ", strict" } else { "" };
        out.line(format!("role: {role}{strict}{theirs}"))?;
    }
    let unusual = unusual(rules);
    match unusual.is_empty() {
        true => Ok(()),
        false => out.line(format!("paths: {}", unusual.join(", "))),
    }
}

fn unusual(rules: &PathRules) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(local) = &rules.local_as {
        let mut text = format!("local AS {}", local.asn);
        for (set, name) in [
            (local.no_prepend, "no-prepend"),
            (local.replace_as, "replace-as"),
            (local.dual_as, "dual-as"),
        ] {
            if set {
                text.push(' ');
                text.push_str(name);
            }
        }
        parts.push(text);
    }
    if rules.allow_as_in() > 0 {
        parts.push(format!("our AS taken {} times", rules.allow_as_in()));
    }
    if rules.as_override() {
        parts.push("as-override".into());
    }
    match rules.remove_private_as() {
        "" | "false" => {}
        "true" => parts.push("remove-private-as".into()),
        how => parts.push(format!("remove-private-as {how}")),
    }
    if rules.enforce_first_as == Some(false) {
        parts.push("any first AS".into());
    }
    if rules.accept_as_set() {
        parts.push("AS_SETs taken".into());
    }
    if let Some(kinds) = &rules.send_communities
        && kinds.kinds.len() < KINDS.len()
    {
        let sent = match kinds.kinds.as_slice() {
            [] => "no communities sent".into(),
            kinds => format!("communities sent: {}", kinds.join(" ")),
        };
        parts.push(sent);
    }
    parts
}
