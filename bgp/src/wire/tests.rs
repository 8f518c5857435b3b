#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod build;
mod canonical;
mod encode;
mod messages;
mod properties;
mod update;
mod verdicts;
