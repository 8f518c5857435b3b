//! Changes of a file's text by command, which keep its comments and its form.

mod peer;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::model::PeerKey;
use crate::settings::PeerSettings;
use peer::peer_table;

/// Keys whose values nobody is shown.
const SECRETS: &[&str] = &["password"];
/// What stands in for a secret.
const HIDDEN: &str = "(hidden)";

/// The text of a file, to be changed more than once.
#[derive(Debug, Default)]
pub struct Document(DocumentMut);

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Document {
    pub fn parse(text: &str) -> Result<Document, String> {
        let document = text.parse();
        document
            .map(Document)
            .map_err(|e: toml_edit::TomlError| e.message().to_owned())
    }

    /// A `[[peer]]` more, at the end of those that are there.
    pub fn add_peer(
        &mut self,
        key: PeerKey,
        group: Option<&str>,
        settings: &PeerSettings,
    ) -> Result<(), String> {
        let mut table = peer_table(key, group, settings);
        table.decor_mut().set_prefix("\n");
        tables(&mut self.0, "peer")?.push(table);
        Ok(())
    }

    /// Without this peer. A comment that stands right above it goes, too.
    pub fn remove_peer(&mut self, key: PeerKey) -> Result<(), String> {
        let at = find_peer(tables(&mut self.0, "peer")?, key)?;
        remove(&mut self.0, "peer", at)
    }

    /// With `disabled` set, or taken out where that is enough.
    pub fn set_disabled(&mut self, key: PeerKey, disabled: bool) -> Result<(), String> {
        let document = &mut self.0;
        let peers = tables(document, "peer")?;
        let at = find_peer(peers, key)?;
        let group = peers.get(at).and_then(|t| t.get("group")?.as_str());
        let by_group = group.map(str::to_owned).is_some_and(|group| {
            let groups = document.get("peer-group");
            let disabled = groups.and_then(|g| g.get(&group)?.get("disabled")?.as_bool());
            disabled == Some(true)
        });
        if let Some(table) = tables(document, "peer")?.get_mut(at) {
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
        Ok(())
    }

    /// An `[[originate]]` more for each, or that of the prefix changed.
    pub fn add_routes(
        &mut self,
        added: impl IntoIterator<Item = (IpNet, bool)>,
    ) -> Result<(), String> {
        let routes = tables(&mut self.0, "originate")?;
        let prefix = |table: &Table| table.get("prefix")?.as_str()?.parse::<IpNet>().ok();
        let there = routes.iter().enumerate();
        let there: HashMap<IpNet, usize> = there
            .filter_map(|(at, table)| Some((prefix(table)?, at)))
            .collect();
        for (prefix, blackhole) in added {
            match there.get(&prefix).and_then(|at| routes.get_mut(*at)) {
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
        }
        Ok(())
    }

    /// Without this `[[originate]]`.
    pub fn remove_route(&mut self, prefix: IpNet) -> Result<(), String> {
        let routes = tables(&mut self.0, "originate")?;
        let at = find(routes, "prefix", |text| text.parse() == Ok(prefix))
            .ok_or_else(|| format!("no [[originate]] of the file has {prefix}"))?;
        remove(&mut self.0, "originate", at)
    }
}

fn edited(
    text: &str,
    edit: impl FnOnce(&mut Document) -> Result<(), String>,
) -> Result<String, String> {
    let mut document = Document::parse(text)?;
    edit(&mut document)?;
    Ok(document.to_string())
}

/// The text after [`Document::add_peer`].
pub fn add_peer(
    text: &str,
    key: PeerKey,
    group: Option<&str>,
    settings: &PeerSettings,
) -> Result<String, String> {
    edited(text, |d| d.add_peer(key, group, settings))
}

/// The text after [`Document::remove_peer`].
pub fn remove_peer(text: &str, key: PeerKey) -> Result<String, String> {
    edited(text, |d| d.remove_peer(key))
}

/// The text after [`Document::set_disabled`].
pub fn set_disabled(text: &str, key: PeerKey, disabled: bool) -> Result<String, String> {
    edited(text, |d| d.set_disabled(key, disabled))
}

/// The text after [`Document::add_routes`] of one.
pub fn add_route(text: &str, prefix: IpNet, blackhole: bool) -> Result<String, String> {
    edited(text, |d| d.add_routes([(prefix, blackhole)]))
}

/// The text after [`Document::remove_route`].
pub fn remove_route(text: &str, prefix: IpNet) -> Result<String, String> {
    edited(text, |d| d.remove_route(prefix))
}

/// The text with every secret hidden; for whoever may not see it.
pub fn without_secrets(text: &str) -> Result<String, String> {
    edited(text, |d| {
        hide(d.0.as_item_mut());
        Ok(())
    })
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
