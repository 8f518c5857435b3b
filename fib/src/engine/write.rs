//! Writing routes, a batch at a time.

use std::time::Duration;

use godwit_netlink::Failure;
use godwit_rib::FibAck;

use crate::api::FibSink;
use crate::engine::Engine;
use crate::groups::{GROUP_BASE, Groups};
use crate::kernel::{Kernel, Op, RouteTo};
use crate::place::Spot;
use crate::route::{Route, Target, Trouble};
use crate::world::World;

/// A route whose write is in the batch.
#[derive(Debug)]
pub(crate) struct Written {
    spot: Spot,
    before: Target,
    /// To tell once it is written.
    ack: Option<FibAck>,
}

/// What to do about a route.
enum Decision {
    /// As it should be, or as good as it gets.
    Leave,
    Write(RouteTo),
    Delete,
}

impl<K: Kernel, S: FibSink> Engine<K, S> {
    /// Writes one batch of routes. False: none was pending.
    pub(super) fn write(&mut self, now: Duration) -> bool {
        let mut ops = std::mem::take(&mut self.ops);
        let mut written = std::mem::take(&mut self.written);
        let mut acks = Vec::new();
        let mut idle = Vec::new();
        let mut looked_at = 0;
        // Looking is cheap but not free: a slice ends also when nothing needs a write.
        while ops.len() < self.config.batch && looked_at < 16 * self.config.batch {
            let Some((spot, route)) = self.routes.pop() else {
                break;
            };
            looked_at += 1;
            let adopted = route.adopted();
            if adopted && !self.swept && !route.have.is_none() {
                continue;
            }
            let (decision, trouble) = decide(&spot, route, &self.world, &mut self.groups);
            route.set_trouble(trouble);
            let installed = trouble == Trouble::NONE && !route.want.is_none();
            let prefix = spot.prefix;
            let place = self.world.places.at(spot.place);
            let ack = FibAck {
                prefix,
                seq: route.seq(),
                installed,
                error: trouble.as_errno(),
            };
            let ack = (!adopted && !route.moved()).then_some(ack);
            let before = route.have;
            match decision {
                Decision::Leave => {
                    acks.extend(ack);
                    if route.want.is_none() {
                        idle.push(spot);
                    }
                    continue;
                }
                Decision::Write(to) => {
                    route.have = route.want;
                    let exclusive = before.is_none() && !route.retried();
                    let slot = route.want.as_slot();
                    ops.push(Op::SetRoute {
                        prefix,
                        place,
                        to,
                        source: slot.and_then(|slot| self.groups.source(slot)),
                        exclusive,
                    });
                }
                Decision::Delete => {
                    route.have = Target::NONE;
                    ops.push(Op::DeleteRoute { prefix, place });
                }
            }
            route.set_seen(true);
            self.groups.moved(before, route.have);
            written.push(Written { spot, before, ack });
        }
        if !ops.is_empty() {
            self.send(&ops, &mut written, now);
        }
        for Written { spot, ack, .. } in written.drain(..) {
            acks.extend(ack);
            idle.push(spot);
        }
        for spot in idle {
            self.routes.forget_if_idle(&spot);
        }
        if !acks.is_empty() {
            self.sink.acks(acks);
        }
        ops.clear();
        self.ops = ops;
        self.written = written;
        looked_at > 0
    }

    /// Sends the batch and puts right what was refused.
    fn send(&mut self, ops: &[Op], written: &mut [Written], now: Duration) {
        match self.apply(ops) {
            Ok(failures) => {
                for failure in failures {
                    if let Some(one) = written.get_mut(failure.index) {
                        self.refused(one, &ops[failure.index], &failure, now);
                    }
                }
                let covers = written.iter().any(|w| self.is_watched(&w.spot.prefix));
                self.resolve_due |= covers;
            }
            Err(error) => {
                let errno = error.errno().unwrap_or(libc::EIO);
                self.note("cannot write routes", Err(error));
                for one in written.iter_mut() {
                    // Unknown whether it is there: replacing works either way.
                    self.put_back(&one.spot, Target::OTHER, Trouble::errno(errno));
                    one.ack = one.ack.map(|ack| FibAck {
                        installed: false,
                        error: Some(errno),
                        ..ack
                    });
                }
                self.verify.soon(now);
                self.schedule_retry(now);
            }
        }
    }

    fn refused(&mut self, one: &mut Written, op: &Op, failure: &Failure, now: Duration) {
        let Some(route) = self.routes.find_mut(&one.spot) else {
            return;
        };
        if matches!(op, Op::DeleteRoute { .. }) && failure.errno == libc::ESRCH {
            return;
        }
        let mut trouble = Trouble::errno(failure.errno);
        let retried = route.retried();
        if failure.errno == libc::EEXIST && self.world.is_foreign(&one.spot) {
            trouble = Trouble::FOREIGN;
        } else if !retried {
            // Ours after all, or the group went away unnoticed: look, and once more.
            route.set_retried(true);
            self.objects_due |= failure.errno != libc::EEXIST;
            self.put_back(&one.spot, one.before, Trouble::NONE);
            self.routes.queue(&one.spot);
            one.ack = None;
            return;
        }
        tracing::debug!(prefix = %one.spot.prefix, errno = failure.errno, text = failure.text, "the kernel refused a route");
        self.put_back(&one.spot, one.before, trouble);
        self.schedule_retry(now);
        one.ack = one.ack.map(|ack| FibAck {
            installed: false,
            error: trouble.as_errno(),
            ..ack
        });
    }

    /// The write did not happen.
    fn put_back(&mut self, spot: &Spot, have: Target, trouble: Trouble) {
        if let Some(route) = self.routes.find_mut(spot) {
            let before = std::mem::replace(&mut route.have, have);
            route.set_trouble(trouble);
            self.groups.moved(before, have);
        }
    }
}

fn decide(spot: &Spot, route: &Route, world: &World, groups: &mut Groups) -> (Decision, Trouble) {
    let to = match route.want {
        Target::NONE => Err(Trouble::NONE),
        _ if world.is_connected(spot) => Err(Trouble::CONNECTED),
        Target::BLACKHOLE => Ok(RouteTo::Blackhole),
        want => match want.as_slot() {
            Some(slot) if groups.is_ready(slot) => Ok(RouteTo::Group(GROUP_BASE + slot)),
            Some(slot) => {
                groups.await_ready(slot);
                Err(groups
                    .error(slot)
                    .map_or(Trouble::UNREACHABLE, |f| Trouble::errno(f.errno)))
            }
            None => Err(Trouble::UNREACHABLE),
        },
    };
    match to {
        Ok(_) if route.have == route.want => (Decision::Leave, Trouble::NONE),
        Ok(_) if route.have.is_none() && world.is_foreign(spot) => {
            (Decision::Leave, Trouble::FOREIGN)
        }
        Ok(to) => (Decision::Write(to), Trouble::NONE),
        Err(trouble) if route.have.is_none() => (Decision::Leave, trouble),
        Err(trouble) => (Decision::Delete, trouble),
    }
}
