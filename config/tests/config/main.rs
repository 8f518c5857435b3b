//! The configuration file from outside: what it accepts, what it says.

mod accepted;
mod errors;
mod files;
mod limits;
mod paths;
mod policies;
mod reload;
mod robustness;
mod transport;

use godwit_config::{Config, parse};

/// A file that is right.
fn ok(text: &str) -> Config {
    parse("godwit.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What is said about a file that is wrong.
fn wrong(text: &str) -> String {
    match parse("godwit.toml", text) {
        Ok(config) => panic!("accepted: {config:#?}"),
        Err(errors) => errors.to_string(),
    }
}

const ROUTER: &str = "[router]\nasn = 64512\n";
