//! What the fuzz targets check. `bgp/tests/corpus.rs` includes the same file
//! and replays the corpus with it on a stable compiler.

pub mod checks;
