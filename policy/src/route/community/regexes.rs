//! Many regular expressions at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use foldhash::quality::RandomState;
use godwit_bgp::community::Community;
use regex::bytes::{RegexSet, RegexSetBuilder};

use super::pattern::{CommunityRegex, REGEX_SIZE, any_text};

/// What the automaton may remember of its way, in bytes.
const CACHE: usize = 64 << 20;
/// Answers remembered at most; a full table of the internet has fewer different
/// communities. Beyond, all are forgotten.
const ANSWERS: usize = 1 << 16;

/// Tried as one, and the answers remembered: a table has few communities, and
/// its routes many.
#[derive(Clone, Debug)]
pub struct CommunityRegexes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    set: RegexSet,
    answers: Mutex<Answers>,
}

/// Its keys are what peers send.
type Answers = HashMap<Community, bool, RandomState>;

impl CommunityRegexes {
    /// `None`: together they are too large.
    pub fn new(expressions: &[&CommunityRegex]) -> Option<CommunityRegexes> {
        // Together they take about as much as each alone.
        let limit = REGEX_SIZE.saturating_mul(expressions.len());
        let set = RegexSetBuilder::new(expressions.iter().map(|e| e.text()))
            .unicode(false)
            .size_limit(limit)
            .dfa_size_limit(limit.min(CACHE))
            .build();
        let inner = |set| Inner {
            set,
            answers: Mutex::default(),
        };
        set.ok().map(|set| CommunityRegexes(Arc::new(inner(set))))
    }

    /// Whether any is found in any of these, or one is listed otherwise, which is
    /// always the same of the same community.
    pub fn find_any(
        &self,
        mut communities: impl Iterator<Item = Community>,
        listed: impl Fn(Community) -> bool,
    ) -> bool {
        let find = |community| any_text(community, |text| self.0.set.is_match(text));
        // Somebody else looks at the moment: then without remembering.
        let Ok(mut answers) = self.0.answers.try_lock() else {
            return communities.any(|community| listed(community) || find(community));
        };
        communities.any(|community| {
            if let Some(known) = answers.get(&community) {
                return *known;
            }
            if answers.len() >= ANSWERS {
                answers.clear();
            }
            let found = listed(community) || find(community);
            answers.insert(community, found);
            found
        })
    }
}
