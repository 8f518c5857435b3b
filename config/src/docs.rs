//! The configuration reference, made from the schema.

use std::fmt::Write;

use crate::diff::{global_keys, peer_keys};
use crate::schema::{ROOT, SECTIONS, Section, Status};

const INTRO: &str = "# Configuration

<!-- Made from config/src/schema: `GODWIT_BLESS=1 cargo test -p godwit-config reference` writes it anew. -->

One TOML file, by default `/etc/godwit/godwit.toml`. This is enough:

```toml
[router]
asn = 64512

[[peer]]
address = \"10.0.0.254\"
remote-as = \"internal\"
```

Unknown keys are errors; `godwit config check FILE` shows all errors of a file at once, each with its place and what to
write instead. Durations are text: `\"100ms\"`, `\"9s\"`, `\"2m\"`, `\"1h\"`, `\"7d\"`. Prefixes have no bits set beyond their length.
Files to start from are in [examples/](../examples).
";

const POLICY: &str = "
## [policy.prefix-set]

Sets of prefixes by name: `pods = [\"10.244.0.0/16{16,28}\"]`. An item is

| text | matches |
|---|---|
| `10.0.0.0/8` | that prefix alone |
| `10.0.0.0/8+` | it and all that is inside |
| `10.244.0.0/16{16,28}` | all that is inside, of lengths 16 to 28 |

## [policy.community-set]

Sets of communities by name, to be named where communities are listed: `ours = [\"64512:100\", \"64512:1:2\"]`.
";

/// `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = INTRO.to_owned();
    let planned: Vec<String> = ROOT
        .all_keys()
        .filter(|key| key.status == Status::Planned)
        .map(|key| format!("`[{}]`", key.name))
        .collect();
    let _ = writeln!(out, "\nNot in this version: {}.", planned.join(", "));
    for section in SECTIONS {
        if section.header.starts_with("[[policy") {
            out.push_str(POLICY);
        }
        render(section, &mut out);
    }
    effects(&mut out);
    out
}

const EFFECTS: &str = "
## What a change of each key does

The daemon compares the new file with what runs and touches only what differs. A `[[peer]]` that comes or goes, or whose
`address`, `interface` or `range` changes, is another peer. `[[originate]]`, policies and sets are applied while running: what was
received is judged anew and peers are sent the difference.
`local-address` and `remote-as` leave a session alone that has that address, or that AS, already.
";

/// What the daemon does, told from the very lists that it goes by.
fn effects(out: &mut String) {
    let sample = crate::parse("sample", SAMPLE).unwrap_or_else(|e| panic!("{e}"));
    out.push_str(EFFECTS);
    out.push_str("\n| key of a peer or its group | when it changes |\n|---|---|\n");
    let peers = sample.peers.first().map(peer_keys).unwrap_or_default();
    for (key, effect) in peers {
        let _ = writeln!(out, "| `{key}` | {effect} |");
    }
    out.push_str("\n| other key | when it changes |\n|---|---|\n");
    for (key, scope) in global_keys(&sample) {
        let _ = writeln!(out, "| `{key}` | {scope} |");
    }
}

const SAMPLE: &str =
    "[router]\nasn = 64512\n[[peer]]\naddress = \"10.0.0.1\"\nremote-as = \"internal\"\n";

fn render(section: &Section, out: &mut String) {
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let quoted = if section.header.starts_with('[') {
        section.header.to_owned()
    } else {
        format!("`{}`", section.header)
    };
    line(format!("\n## {quoted}\n\n{}\n", section.doc));
    line("| key | value | default | |".to_owned());
    line("|---|---|---|---|".to_owned());
    // A peer's shared keys stand once, with the group's.
    let own = section.keys.first().copied().unwrap_or_default();
    for key in own.iter().filter(|key| key.status == Status::Built) {
        let cells = [key.value, key.default, key.doc].map(|cell| cell.replace('|', "\\|"));
        line(format!("| `{}` | {} |", key.name, cells.join(" | ")));
    }
    let planned: Vec<String> = own
        .iter()
        .filter(|key| key.status == Status::Planned)
        .map(|key| format!("`{}`", key.name))
        .collect();
    if !planned.is_empty() {
        let _ = writeln!(out, "\nNot in this version: {}.", planned.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::PEER;

    /// A key that nobody says what a reload does with.
    #[test]
    fn every_key_of_a_peer_has_an_effect() {
        let sample = crate::parse("sample", SAMPLE).unwrap();
        let told = peer_keys(&sample.peers[0]);
        // What names the peer, and tables whose keys stand for themselves.
        let names = ["address", "interface", "range"];
        for key in PEER.all_keys().filter(|k| k.status != Status::Planned) {
            let known = told.iter().any(|(name, _)| *name == key.name);
            assert!(known || names.contains(&key.name), "{}", key.name);
        }
    }
}
