//! Whole-system tests; one binary, since linking is what costs.
//!
//! They need root (network namespaces), BIRD 2, FRR and built daemons; `./test`
//! sees to all that.

mod harness;
