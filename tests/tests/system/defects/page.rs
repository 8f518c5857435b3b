//! docs/errors.md is this table.

use std::fmt::Write;
use std::path::PathBuf;

use super::cases::{self, Case, Verdict};

const INTRO: &str = "# Malformed UPDATEs

<!-- Made from tests/tests/system/defects: `GODWIT_BLESS=1 cargo test -p godwit-tests --test system page::` writes it anew. -->

What becomes of the routes of an UPDATE that has an error, by attribute and by defect. Each row is acted out by
`tests/tests/system/defects.rs`, from an external and from an internal peer, over a session that lives on with
all its other routes (but for the resets, which end theirs and no other).

| | what happens (RFC 7606 §2) |
|---|---|
| withdraw | treat-as-withdraw: as if the routes had been withdrawn; the session goes on |
| discard | attribute discard: the routes are used without the attribute |
| kept | the routes are used; of an attribute that comes twice, the first copy counts |
| kept once | the routes are used, and the second of two equal values is gone; that is no error |
| unused: … | the routes are kept and not used, and shown with this reason (`godwit route list --rejected`) |
| reset 3/N | the session ends with NOTIFICATION UPDATE Message Error, subcode N |

The first two are counted (`treated_as_withdraw` and `attributes_discarded` of a peer) and logged, at most once
in ten seconds. A path of more than 2000 AS numbers is treated as withdraw whatever `max-as-path-length` says.

";

#[test]
fn errors_md_is_this_table() {
    let page = page();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if std::env::var_os("GODWIT_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the repository can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{} is old: set GODWIT_BLESS=1",
        path.display()
    );
}

fn page() -> String {
    let mut out = INTRO.to_owned();
    out.push_str("| attribute | defect | from an external peer | from an internal peer | RFC |\n");
    out.push_str("|---|---|---|---|---|\n");
    let mut last = "";
    for case in cases::all() {
        let Case {
            attribute,
            defect,
            external,
            internal,
            source,
            ..
        } = case;
        let name = if attribute == last { "" } else { attribute };
        last = attribute;
        let [external, internal] = [external, internal].map(text);
        let _ = writeln!(
            out,
            "| {name} | {defect} | {external} | {internal} | {source} |"
        );
    }
    out
}

fn text(verdict: Option<Verdict>) -> String {
    match verdict {
        None => "nothing is wrong".into(),
        Some(Verdict::Withdraw) => "withdraw".into(),
        Some(Verdict::Unused(why)) => format!("unused: {why}"),
        Some(Verdict::Discard) => "discard".into(),
        Some(Verdict::Keep) => "kept".into(),
        Some(Verdict::Once) => "kept once".into(),
        Some(Verdict::Reset(subcode)) => format!("reset 3/{subcode}"),
    }
}
