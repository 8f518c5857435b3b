//! The same load on `godwitd`, BIRD and FRR, one after the other on one machine:
//!
//! ```sh
//! cargo build --release -p godwit-bgpd -p godwit-cli
//! cargo bench -p godwit-tests --bench duel      # as root; BIRD 2 and FRR installed
//! cargo bench -p godwit-tests --bench duel -- policy bird    # rows with both words
//! ```
//!
//! `GODWIT_TABLE4` may name a file of `prefix as as …` lines; without it the table
//! is made up. All sessions are TCP over a veth pair between two namespaces.

mod change;
mod load;
mod speaker;
mod tester;

use std::fmt::Display;

use change::Change;
use load::Load;
use speaker::Speaker;

fn main() {
    // `cargo test --all-targets` runs benches too, with this argument; a real run
    // takes minutes.
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a.starts_with('-'));
    if !flags.iter().any(|a| a == "--bench") {
        return;
    }
    let loads = [
        Load::ToOneAndKernel,
        Load::FourTimesTheTable,
        Load::Reflect { clients: 100 },
    ];
    let head = "complete | in the kernel | withdrawn | processor | memory";
    table(head, &words, &loads, |load, speaker| load.run(speaker));
    let head = "complete | processor | memory | silence to a client | to a sender";
    let changes = [Change::Export, Change::Import];
    table(head, &words, &changes, |change, speaker| {
        change.run(speaker)
    });
}

/// Runs those whose row has all the words, and shows them.
fn table<L: Display, O: Display>(
    head: &str,
    words: &[String],
    loads: &[L],
    run: impl Fn(&L, Speaker) -> Option<O>,
) {
    let mut begun = false;
    for load in loads {
        for speaker in [Speaker::Godwit, Speaker::Bird, Speaker::Frr] {
            let name = format!("{load} | {speaker}");
            let asked = name.to_lowercase();
            if !words.iter().all(|w| asked.contains(&w.to_lowercase())) {
                continue;
            }
            let Some(outcome) = run(load, speaker) else {
                continue;
            };
            if !begun {
                println!("| load | speaker | {head} |");
                println!("|---|---|{}", "---|".repeat(head.split('|').count()));
            }
            begun = true;
            println!("| {name} | {outcome} |");
        }
    }
}
