//! What the fuzz targets check, a file for each crate that they are about. That
//! crate's `tests/corpus.rs` includes it too, with [`replay`], and runs it over
//! the corpus on a stable compiler.

pub mod checks;
pub mod neighbours;
pub mod patterns;
pub mod replay;
