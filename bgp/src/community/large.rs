//! Large communities (RFC 8092).

use std::fmt;
use std::str::FromStr;

use super::{CommunityError, decimal};

/// A large community (RFC 8092), "65001:1:2".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LargeCommunity {
    pub global: u32,
    pub local1: u32,
    pub local2: u32,
}

impl LargeCommunity {
    /// As it stands in the attribute.
    pub const fn octets(&self) -> [u8; 12] {
        let [a, b, c, d] = self.global.to_be_bytes();
        let [e, f, g, h] = self.local1.to_be_bytes();
        let [i, j, k, l] = self.local2.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, CommunityError> {
        let (global, locals) = text.split_once(':').ok_or(CommunityError)?;
        let (local1, local2) = locals.split_once(':').ok_or(CommunityError)?;
        Ok(LargeCommunity {
            global: decimal(global)?,
            local1: decimal(local1)?,
            local2: decimal(local2)?,
        })
    }
}
