//! Writes a made-up full table, one `prefix as as …` a line.

use std::io::Write as _;
use std::process::ExitCode;

use godwit_tests::table::Table;

const USAGE: &str = "usage: godwit-table 4|6 [COUNT [SEED]]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(table) = table(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let written = std::io::stdout()
        .lock()
        .write_all(table.to_string().as_bytes());
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("cannot write the table: {e}");
            ExitCode::FAILURE
        }
    }
}

fn table(args: &[String]) -> Option<Table> {
    let ipv6 = match args.first()?.as_str() {
        "4" => false,
        "6" => true,
        _ => return None,
    };
    let count = match args.get(1) {
        Some(text) => text.parse().ok()?,
        None if ipv6 => 180_000,
        None => 970_000,
    };
    let seed = match args.get(2) {
        Some(text) => text.parse().ok()?,
        None => 1,
    };
    Some(Table::generate(ipv6, count, seed))
}
