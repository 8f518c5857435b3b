//! Changes of a file's text by command, which keep its comments and its form.

use std::net::IpAddr;
use std::time::Duration;

use godwit_bgp::attrs::RemovePrivate;
use godwit_bgp::{Family, SendPaths};
use ipnet::IpNet;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::model::{AddPathConfig, LimitAction, LimitCount, PeerKey, PrefixLimit, RemoteAs};
use crate::path::{LocalAs, PathSettings};
use crate::settings::{DefaultSettings, FamilySettings, PeerSettings};

/// Keys whose values nobody is shown.
const SECRETS: &[&str] = &["password"];
/// What stands in for a secret.
const HIDDEN: &str = "(hidden)";

/// The text with a `[[peer]]` more, at the end of those that are there.
pub fn add_peer(
    text: &str,
    key: PeerKey,
    group: Option<&str>,
    settings: &PeerSettings,
) -> Result<String, String> {
    let mut document = parse(text)?;
    let mut table = peer_table(key, group, settings);
    table.decor_mut().set_prefix("\n");
    tables(&mut document, "peer")?.push(table);
    Ok(document.to_string())
}

/// The text without this peer. A comment that stands right above it goes, too.
pub fn remove_peer(text: &str, key: PeerKey) -> Result<String, String> {
    let mut document = parse(text)?;
    let at = find_peer(tables(&mut document, "peer")?, key)?;
    remove(&mut document, "peer", at)?;
    Ok(document.to_string())
}

/// The text with `disabled` set, or taken out where that is enough.
pub fn set_disabled(text: &str, key: PeerKey, disabled: bool) -> Result<String, String> {
    let mut document = parse(text)?;
    let by_group = {
        let peers = tables(&mut document, "peer")?;
        let at = find_peer(peers, key)?;
        let group = peers.get(at).and_then(|t| t.get("group")?.as_str());
        group.map(str::to_owned).is_some_and(|group| {
            let groups = document.get("peer-group");
            let disabled = groups.and_then(|g| g.get(&group)?.get("disabled")?.as_bool());
            disabled == Some(true)
        })
    };
    let peers = tables(&mut document, "peer")?;
    let at = find_peer(peers, key)?;
    if let Some(table) = peers.get_mut(at) {
        if disabled == by_group {
            table.remove("disabled");
        } else if let Some(item) = table.get_mut("disabled").and_then(Item::as_value_mut) {
            // What stands behind it on the line stays.
            let decor = item.decor().clone();
            *item = disabled.into();
            *item.decor_mut() = decor;
        } else {
            table.insert("disabled", value(disabled));
        }
    }
    Ok(document.to_string())
}

/// The text with an `[[originate]]` more, or that of the prefix changed.
pub fn add_route(text: &str, prefix: IpNet, blackhole: bool) -> Result<String, String> {
    let mut document = parse(text)?;
    let routes = tables(&mut document, "originate")?;
    let at = find(routes, "prefix", |text| text.parse() == Ok(prefix));
    match at.and_then(|at| routes.get_mut(at)) {
        Some(table) if blackhole => drop(table.insert("blackhole", value(true))),
        Some(table) => drop(table.remove("blackhole")),
        None => {
            let mut table = Table::new();
            table.decor_mut().set_prefix("\n");
            table.insert("prefix", value(prefix.to_string()));
            if blackhole {
                table.insert("blackhole", value(true));
            }
            routes.push(table);
        }
    }
    Ok(document.to_string())
}

/// The text without this `[[originate]]`.
pub fn remove_route(text: &str, prefix: IpNet) -> Result<String, String> {
    let mut document = parse(text)?;
    let routes = tables(&mut document, "originate")?;
    let at = find(routes, "prefix", |text| text.parse() == Ok(prefix))
        .ok_or_else(|| format!("no [[originate]] of the file has {prefix}"))?;
    remove(&mut document, "originate", at)?;
    Ok(document.to_string())
}

/// The text with every secret hidden; for whoever may not see it.
pub fn without_secrets(text: &str) -> Result<String, String> {
    let mut document = parse(text)?;
    hide(document.as_item_mut());
    Ok(document.to_string())
}

fn hide(item: &mut Item) {
    if let Some(tables) = item.as_array_of_tables_mut() {
        for table in tables.iter_mut() {
            for (key, item) in table.iter_mut() {
                hide_entry(key.get(), item);
            }
        }
    } else if let Some(table) = item.as_table_like_mut() {
        for (key, item) in table.iter_mut() {
            hide_entry(key.get(), item);
        }
    }
}

fn hide_entry(key: &str, item: &mut Item) {
    if !SECRETS.contains(&key) {
        hide(item);
    } else if let Some(secret) = item.as_value_mut() {
        let decor = secret.decor().clone();
        *secret = HIDDEN.into();
        *secret.decor_mut() = decor;
    }
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse()
        .map_err(|e: toml_edit::TomlError| e.message().to_owned())
}

/// The tables of this name, made where there are none.
fn tables<'d>(document: &'d mut DocumentMut, name: &str) -> Result<&'d mut ArrayOfTables, String> {
    let item = document
        .entry(name)
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or_else(|| {
        format!("`{name}` of the file is a list in one line; write it as `[[{name}]]` tables, so that it can be changed by command")
    })
}

fn find(tables: &ArrayOfTables, key: &str, is: impl Fn(&str) -> bool) -> Option<usize> {
    tables
        .iter()
        .position(|table| table.get(key).and_then(Item::as_str).is_some_and(&is))
}

fn find_peer(peers: &ArrayOfTables, key: PeerKey) -> Result<usize, String> {
    let at = match key {
        PeerKey::Address(address) => find(peers, "address", |t| t.parse::<IpAddr>() == Ok(address)),
        PeerKey::Interface(interface) => find(peers, "interface", |t| t == interface.as_str()),
        PeerKey::Range(range) => find(peers, "range", |t| t.parse() == Ok(range)),
    };
    at.ok_or_else(|| format!("no [[peer]] of the file is {key}"))
}

/// Takes a table out. Comments above it that an empty line sets apart are not
/// its own: the next one gets them, or the end of the file.
fn remove(document: &mut DocumentMut, name: &str, at: usize) -> Result<(), String> {
    let list = tables(document, name)?;
    let prefix = list
        .get(at)
        .and_then(|table| table.decor().prefix()?.as_str().map(str::to_owned))
        .unwrap_or_default();
    list.remove(at);
    let apart = prefix.rfind("\n\n").map_or("", |end| &prefix[..=end]);
    if apart.trim().is_empty() {
        return Ok(());
    }
    let next = list.get_mut(at);
    match next {
        Some(next) => {
            let own = next.decor().prefix().and_then(|p| p.as_str());
            let joined = format!("{apart}{}", own.unwrap_or_default());
            next.decor_mut().set_prefix(joined);
        }
        None => {
            let trailing = document.trailing().as_str().unwrap_or_default();
            let joined = format!("{apart}{trailing}");
            document.set_trailing(joined);
        }
    }
    Ok(())
}

/// As one would write it. Taken apart without `..`: a new key does not compile
/// before it is written, too.
fn peer_table(key: PeerKey, group: Option<&str>, settings: &PeerSettings) -> Table {
    let PeerSettings {
        description,
        disabled,
        remote_as,
        hold_time,
        send_hold_time,
        keepalive,
        connect_retry,
        refresh_timeout,
        passive,
        port,
        local_address,
        multihop,
        local_interface,
        ttl_security,
        password,
        limit,
        next_hop_self,
        extended_next_hop,
        route_reflector_client,
        default_originate,
        weight,
        blackhole_community,
        graceful_shutdown,
        import,
        export,
        families,
        path,
        spans: _,
    } = settings;
    let mut table = Table::new();
    let mut put = |key: &str, given: Option<Value>| {
        if let Some(given) = given {
            table.insert(key, Item::Value(given));
        }
    };
    let name = match key {
        PeerKey::Address(_) => "address",
        PeerKey::Interface(_) => "interface",
        PeerKey::Range(_) => "range",
    };
    put(name, Some(key.to_string().into()));
    put("group", group.map(Value::from));
    put("remote-as", remote_as.map(remote_as_value));
    put("description", description.as_ref().map(Value::from));
    put("disabled", disabled.map(Value::from));
    put("hold-time", hold_time.map(duration));
    put("send-hold-time", send_hold_time.map(duration));
    put("keepalive", keepalive.map(duration));
    put("connect-retry", connect_retry.map(duration));
    put("refresh-timeout", refresh_timeout.map(duration));
    put("passive", passive.map(Value::from));
    put("port", port.map(number));
    put("local-address", local_address.map(|a| a.to_string().into()));
    put("multihop", multihop.map(number));
    put("local-interface", local_interface.as_ref().map(Value::from));
    put("ttl-security", ttl_security.map(ttl_security_value));
    let file = password.as_ref().map(|p| p.file().display().to_string());
    put("password-file", file.map(Value::from));
    put("limit", limit.map(number));
    put("next-hop-self", next_hop_self.map(Value::from));
    put("extended-next-hop", extended_next_hop.map(Value::from));
    put(
        "route-reflector-client",
        route_reflector_client.map(Value::from),
    );
    put(
        "default-originate",
        default_originate.as_ref().map(default_value),
    );
    put("weight", weight.map(number));
    put("blackhole-community", blackhole_community.map(Value::from));
    put("graceful-shutdown", graceful_shutdown.map(Value::from));
    put("import", import.as_ref().map(names));
    put("export", export.as_ref().map(names));
    path_keys(path, &mut put);
    for family in Family::ALL {
        let Some(Some(settings)) = families.get(family.index()) else {
            continue;
        };
        let FamilySettings {
            import,
            export,
            default_originate,
            prefix_limit,
            prefix_limit_out,
            add_path,
        } = settings;
        let mut own = Table::new();
        if let Some(import) = import {
            own.insert("import", Item::Value(names(import)));
        }
        if let Some(export) = export {
            own.insert("export", Item::Value(names(export)));
        }
        if let Some(default) = default_originate {
            own.insert("default-originate", Item::Value(default_value(default)));
        }
        if let Some(AddPathConfig { receive, send }) = add_path {
            let mut paths = InlineTable::new();
            paths.insert("receive", (*receive).into());
            if let Some(send) = send {
                paths.insert("send", send_paths_value(*send));
            }
            own.insert("add-path", Item::Value(paths.into()));
        }
        let limits = [
            ("prefix-limit", prefix_limit),
            ("prefix-limit-out", prefix_limit_out),
        ];
        for (key, limit) in limits {
            if let Some(limit) = limit {
                own.insert(key, Item::Value(limit_value(*limit)));
            }
        }
        let families = table
            .entry("family")
            .or_insert_with(|| {
                let mut families = Table::new();
                families.set_implicit(true);
                Item::Table(families)
            })
            .as_table_mut();
        if let Some(families) = families {
            families.insert(family.name(), Item::Table(own));
        }
    }
    table
}

fn default_value(default: &DefaultSettings) -> Value {
    let DefaultSettings { on, when, policy } = default;
    if !on || (when.is_none() && policy.is_none()) {
        return (*on).into();
    }
    let mut table = InlineTable::new();
    if let Some(when) = when {
        table.insert("if", when.into());
    }
    if let Some(policy) = policy {
        table.insert("policy", names(policy));
    }
    table.into()
}

fn send_paths_value(send: SendPaths) -> Value {
    match send {
        SendPaths::Best(count) => number(count.get()),
        SendPaths::All => "all".into(),
        SendPaths::Ecmp => "ecmp".into(),
    }
}

fn limit_value(limit: PrefixLimit) -> Value {
    let PrefixLimit {
        max,
        then,
        warn_at,
        count,
    } = limit;
    let mut table = InlineTable::new();
    table.insert("max", number(max));
    let (word, pause) = match then {
        LimitAction::Warn => ("warn", None),
        LimitAction::Discard => ("discard", None),
        LimitAction::Restart(pause) => ("restart", Some(pause)),
        LimitAction::Disable => ("disable", None),
    };
    table.insert("then", word.into());
    if let Some(pause) = pause {
        table.insert("restart-after", duration(pause));
    }
    table.insert("warn-at", number(warn_at));
    if count == LimitCount::Accepted {
        table.insert("count", "accepted".into());
    }
    table.into()
}

fn path_keys(settings: &PathSettings, put: &mut impl FnMut(&str, Option<Value>)) {
    let PathSettings {
        local_as,
        allow_as_in,
        as_override,
        remove_private_as,
        enforce_first_as,
        accept_as_set,
        max_as_path_length,
        role,
        role_strict,
        send_communities,
    } = settings;
    put("local-as", local_as.map(local_as_value));
    put("allow-as-in", allow_as_in.map(number));
    put("as-override", as_override.map(Value::from));
    let private = remove_private_as.map(|how| match how {
        RemovePrivate::No => false.into(),
        RemovePrivate::IfAlone => true.into(),
        how => how.name().into(),
    });
    put("remove-private-as", private);
    put("enforce-first-as", enforce_first_as.map(Value::from));
    let as_set = accept_as_set.map(|accept| if accept { "accept" } else { "withdraw" });
    put("as-set", as_set.map(Value::from));
    put("max-as-path-length", max_as_path_length.map(number));
    put("role", role.map(|role| role.name().into()));
    put("role-strict", role_strict.map(Value::from));
    let kinds = send_communities.map(|kinds| Array::from_iter(kinds.names()));
    put("send-communities", kinds.map(Value::from));
}

fn local_as_value(local: LocalAs) -> Value {
    let LocalAs {
        asn,
        no_prepend,
        replace_as,
    } = local;
    let asn = Value::from(i64::from(asn.0));
    if !no_prepend && !replace_as {
        return asn;
    }
    let mut table = InlineTable::new();
    table.insert("asn", asn);
    for (key, set) in [("no-prepend", no_prepend), ("replace-as", replace_as)] {
        if set {
            table.insert(key, true.into());
        }
    }
    table.into()
}

fn remote_as_value(remote_as: RemoteAs) -> Value {
    match remote_as {
        RemoteAs::Asn(asn) => i64::from(asn.0).into(),
        RemoteAs::External => "external".into(),
        RemoteAs::Internal => "internal".into(),
    }
}

fn number(number: impl Into<i64>) -> Value {
    number.into().into()
}

fn ttl_security_value(hops: u8) -> Value {
    match hops {
        0 => false.into(),
        1 => true.into(),
        hops => number(hops),
    }
}

fn duration(span: Duration) -> Value {
    match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()).into(),
        _ => format!("{}ms", span.as_millis()).into(),
    }
}

fn names(names: &Vec<String>) -> Value {
    Array::from_iter(names).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written reads as it was.
    #[test]
    fn every_key_reads_as_it_was_written() {
        let text = "[router]\nasn = 1\n[[peer]]\naddress = \"10.0.0.1\"\nremote-as = 7\n\
            description = \"x\"\ndisabled = true\nhold-time = \"9s\"\nkeepalive = \"2500ms\"\n\
            connect-retry = \"5s\"\nrefresh-timeout = \"60s\"\npassive = true\nport = 1790\n\
            local-address = \"10.0.0.2\"\nmultihop = 4\nnext-hop-self = false\n\
            route-reflector-client = false\nweight = 70\nblackhole-community = true\n\
            graceful-shutdown = false\nimport = [\"accept-all\"]\nexport = []\n\
            local-as = { asn = 9, no-prepend = true }\nallow-as-in = 2\nas-override = true\n\
            remove-private-as = \"all-replace\"\nenforce-first-as = false\nas-set = \"accept\"\n\
            max-as-path-length = 99\nrole = \"customer\"\nrole-strict = true\n\
            send-communities = [\"standard\", \"large\"]\n\
            family.ipv4-unicast.import = [\"reject-all\"]\n\
            family.ipv4-unicast.prefix-limit = { max = 9, then = \"restart\", restart-after = \"60s\", count = \"accepted\" }\n\
            family.ipv4-unicast.prefix-limit-out = { max = 9, warn-at = 50 }\n";
        let config = crate::parse("x", text).unwrap();
        let read = |text: &str| config.read_peers(text).remove(0).unwrap();
        let first = read(text);
        let again = add_peer("", first.key, None, &first.settings).unwrap();
        assert_eq!(read(&again), first);
    }

    const FILE: &str = "# The router of rack 1.

[router]
asn = 64512 # ours

# --- neighbours ---

# the left ToR
[[peer]]
address = \"10.0.0.1\" # eth0
remote-as = 65001

[[peer]]
address = \"10.0.0.2\"
remote-as = 65002
disabled = true # until the cable is there

[policy.prefix-set]
s = [\"10.0.0.0/8+\"]
# the end
";

    fn key(address: &str) -> PeerKey {
        PeerKey::Address(address.parse().unwrap())
    }

    /// What a change takes out and puts in, line by line.
    fn difference(new: &str) -> (Vec<String>, Vec<String>) {
        let only = |a: &str, b: &str| -> Vec<String> {
            let mut rest: Vec<&str> = b.lines().collect();
            let mut found = Vec::new();
            for line in a.lines() {
                match rest.iter().position(|other| *other == line) {
                    Some(at) => drop(rest.remove(at)),
                    None => found.push(line.to_owned()),
                }
            }
            found
        };
        (only(FILE, new), only(new, FILE))
    }

    #[test]
    fn a_peer_is_added_behind_the_others_and_all_else_stays() {
        let settings = PeerSettings {
            remote_as: Some(RemoteAs::External),
            hold_time: Some(Duration::from_secs(9)),
            import: Some(vec!["accept-all".to_owned()]),
            families: [None, Some(FamilySettings::default())],
            ..PeerSettings::default()
        };
        let new = add_peer(FILE, key("10.0.0.3"), None, &settings).unwrap();
        let (gone, come) = difference(&new);
        assert!(gone.is_empty(), "{gone:?}");
        let expected = [
            "[[peer]]",
            "address = \"10.0.0.3\"",
            "remote-as = \"external\"",
            "hold-time = \"9s\"",
            "import = [\"accept-all\"]",
            "",
            "[peer.family.ipv6-unicast]",
            "",
        ];
        assert_eq!(come, expected);
        let config = crate::parse("x", &new).unwrap();
        assert_eq!(config.peers.len(), 3);
        assert_eq!(config.peers[2].families, [false, true]);
    }

    #[test]
    fn a_peer_goes_with_its_comment_and_no_other() {
        let new = remove_peer(FILE, key("10.0.0.1")).unwrap();
        let (gone, come) = difference(&new);
        assert!(come.is_empty(), "{come:?}");
        assert!(gone.contains(&"# the left ToR".to_owned()));
        assert!(new.contains("# --- neighbours ---"), "{new}");
        assert!(new.contains("# the end"), "{new}");
        assert_eq!(crate::parse("x", &new).unwrap().peers.len(), 1);
    }

    #[test]
    fn a_peer_is_disabled_and_enabled_in_its_place() {
        let new = set_disabled(FILE, key("10.0.0.1"), true).unwrap();
        assert_eq!(
            difference(&new),
            (Vec::new(), vec!["disabled = true".to_owned()])
        );
        assert_eq!(set_disabled(&new, key("10.0.0.1"), false).unwrap(), FILE);
        let grouped =
            "[peer-group.g]\ndisabled = true\n[[peer]]\naddress = \"10.0.0.1\"\ngroup = \"g\"\n";
        let new = set_disabled(grouped, key("10.0.0.1"), false).unwrap();
        assert!(new.ends_with("disabled = false\n"), "{new}");
    }

    #[test]
    fn routes_come_and_go() {
        let net = "192.0.2.0/24".parse().unwrap();
        let new = add_route(FILE, net, true).unwrap();
        assert!(crate::parse("x", &new).unwrap().originate[0].blackhole);
        let plain = add_route(&new, net, false).unwrap();
        assert!(!crate::parse("x", &plain).unwrap().originate[0].blackhole);
        let gone = remove_route(&plain, net).unwrap();
        assert_eq!(crate::parse("x", &gone).unwrap().originate.len(), 0);
        assert!(remove_route(FILE, net).is_err());
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let text = "[[peer]]\npassword = \"abc\" # x\n[peer-group.g]\npassword = 'def'\n[a]\nb = { password = \"ghi\" }\n";
        let shown = without_secrets(text).unwrap();
        for secret in ["abc", "def", "ghi"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("# x"));
    }

    #[test]
    fn a_list_in_one_line_is_left_alone() {
        let text = "peer = [{ address = \"10.0.0.1\", remote-as = 1 }]\n";
        let error = remove_peer(text, key("10.0.0.1")).unwrap_err();
        assert!(error.contains("[[peer]]"), "{error}");
    }
}
