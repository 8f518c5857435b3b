//! What a condition says of communities: literals, wildcards, ranges, regular
//! expressions; and sets of thousands of them.

mod pattern;
mod regexes;
mod set;
#[cfg(test)]
mod tests;

pub use pattern::{CommunityPattern, CommunityPatternError};
pub(super) use set::CommunitySet;
