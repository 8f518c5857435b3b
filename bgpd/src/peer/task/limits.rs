//! What follows when a peer is near a prefix limit or past it.

use std::time::Duration;

use godwit_bgp::Family;
use godwit_bgp::session::Input;
use godwit_bgp::wire::Notification;
use godwit_bgp::wire::notification::cease;
use godwit_config::{LimitAction, PrefixLimit};
use godwit_rib::LimitNews;
use tracing::{info, warn};

use super::PeerTask;
use crate::clock;
use crate::status::Excess;

impl PeerTask {
    /// Takes what the RIB said of limits.
    pub(super) fn limits(&mut self) {
        let Some(up) = &self.up else { return };
        for news in up.port.take_limit_news() {
            // The session that it is about may be over by now.
            if self.up.is_none() {
                return;
            }
            self.limit_news(news);
        }
    }

    fn limit_news(&mut self, news: LimitNews) {
        let peer = self.settings.name;
        let config = &self.settings.config;
        match news {
            LimitNews::InNear(family, n) => {
                if let Some(limit) = config.limit_in(family) {
                    warn!(%peer, %family, prefixes = n, limit = limit.max, "near the prefix limit");
                }
            }
            LimitNews::OutNear(family, n) => {
                if let Some(limit) = config.limit_out(family) {
                    warn!(%peer, %family, prefixes = n, limit = limit.max, "what the peer is sent is near prefix-limit-out");
                }
            }
            LimitNews::InExceeded(family, n) => {
                if let Some(limit) = config.limit_in(family) {
                    warn!(%peer, %family, prefixes = n, limit = limit.max, then = limit.then.name(), "the peer announces more than its prefix limit");
                    let fault = Notification::max_prefixes(family.afi_safi(), limit.max);
                    self.past(family, &limit, fault, Excess::IN);
                }
            }
            LimitNews::OutExceeded(family, n) => {
                if let Some(limit) = config.limit_out(family) {
                    warn!(%peer, %family, prefixes = n, limit = limit.max, then = limit.then.name(), "the peer would be sent more than prefix-limit-out");
                    // RFC 4486 has no subcode for one's own excess.
                    let subcode = match limit.then {
                        LimitAction::Disable => cease::ADMIN_SHUTDOWN,
                        _ => cease::ADMIN_RESET,
                    };
                    let text = format!("we have more than {} {family} routes for you", limit.max);
                    let fault = Notification::shutdown(subcode, &text);
                    self.past(family, &limit, fault, Excess::OUT);
                }
            }
            LimitNews::InRelieved { family, dropped } => {
                info!(%peer, %family, "there is room below the prefix limit again");
                // Only the peer knows what was not even remembered.
                if dropped > 0 && !self.session.request_refresh(family) {
                    warn!(%peer, %family, routes = dropped, "the peer can't be asked for what its prefix limit kept out: reset the session to have it");
                }
            }
        }
        self.changed = true;
    }

    fn past(
        &mut self,
        family: Family,
        limit: &PrefixLimit,
        fault: Notification,
        key: &'static str,
    ) {
        let pause: Option<Duration> = match limit.then {
            LimitAction::Warn | LimitAction::Discard => return,
            LimitAction::Restart(pause) => Some(pause),
            LimitAction::Disable => None,
        };
        self.held = Some(Excess {
            key,
            family,
            max: limit.max,
        });
        let hold = Input::Hold { fault, pause };
        self.session.handle_input(hold, clock::now());
    }

    /// The operator wants the session in spite of a limit that it passed.
    pub(super) fn release(&mut self) {
        if self.held.take().is_some() {
            self.start();
        }
    }
}
