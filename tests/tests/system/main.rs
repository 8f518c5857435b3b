//! Whole-system tests; one binary, since linking is what costs.
//!
//! They need root (network namespaces), the other speakers and built daemons; `./test`
//! sees to all that.

#[macro_use]
mod macros {
    /// Each scenario as one test with every speaker.
    macro_rules! with_every_router {
    ($($scenario:ident),* $(,)?) => {
        mod bird {
            $(#[test] fn $scenario() { super::$scenario::<godwit_tests::bird::Bird>(); })*
        }
        mod frr {
            $(#[test] fn $scenario() { super::$scenario::<godwit_tests::frr::Frr>(); })*
        }
    };
}
}

mod addpath;
mod attributes;
mod bfd;
mod communities;
mod crowd;
mod defects;
mod demo;
mod duo;
mod explain;
mod five;
mod flaps;
mod full_table;
mod graceful;
mod harness;
mod history;
mod hostile;
mod kernel;
mod lifecycle;
mod limits;
mod load;
mod malformed;
mod numbers;
mod operation;
mod originated;
mod policy;
mod reflection;
mod refresh;
mod restart;
mod rfcs;
mod roles;
mod session;
mod special;
mod transport;
mod trial;
mod two_octet;
mod unnumbered;
