//! `godwitd`: the daemon in the foreground.

use std::process::ExitCode;

use godwit_policy::route::Registry;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    godwit_bgpd::command::main(&Registry::default())
}
