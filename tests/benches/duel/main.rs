//! The same load on `godwitd`, BIRD and FRR, one after the other on one machine:
//!
//! ```sh
//! cargo build --release -p godwit-bgpd -p godwit-cli
//! cargo bench -p godwit-tests --bench duel      # as root; BIRD 2 and FRR installed
//! ```
//!
//! `GODWIT_TABLE4` may name a file of `prefix as as …` lines; without it the table
//! is made up. All sessions are TCP over a veth pair between two namespaces.

mod load;
mod speaker;

use load::Load;
use speaker::Speaker;

fn main() {
    // `cargo test --all-targets` runs benches too, with this argument; a real run
    // takes minutes.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let loads = [
        Load::ToOneAndKernel,
        Load::FourTimesTheTable,
        Load::Reflect { clients: 100 },
    ];
    println!("| load | speaker | complete | in the kernel | withdrawn | processor | memory |");
    println!("|---|---|---|---|---|---|---|");
    for load in loads {
        for speaker in [Speaker::Godwit, Speaker::Bird, Speaker::Frr] {
            if let Some(result) = load.run(speaker) {
                println!("| {load} | {speaker} | {result} |");
            }
        }
    }
}
