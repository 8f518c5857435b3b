//! The RIB against a slow and naive one: random operations must leave every
//! peer holding, and the kernel asked for, the same under both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod add_path;
mod agree;
mod draw;
mod dryrun;
mod fair;
mod graceful;
mod graves;
mod groups;
mod limits;
mod many;
mod naive;
mod numbers;
mod originated;
mod parting;
mod random;
mod refresh;
mod rules;
mod slices;
mod world;
