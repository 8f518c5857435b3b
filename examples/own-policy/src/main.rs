//! A `godwitd` with a routing policy of one's own. The configuration names it:
//!
//! ```toml
//! import = ["custom:short-paths", "accept-all"]
//! ```

mod short_paths;

use std::process::ExitCode;

use godwit_policy::route::Registry;
use short_paths::ShortPaths;

fn main() -> ExitCode {
    let registry = Registry::default().with("short-paths", ShortPaths { most: 3 });
    godwit_bgpd::command::main(&registry)
}
