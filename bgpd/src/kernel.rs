//! The fib thread's answers, on their way to the RIB thread.

use std::sync::Arc;

use godwit_bgp::NextHop;
use godwit_fib::FibSink;
use godwit_rib::{FibAck, NextHopState};

use crate::ribthread::Inbox;

#[derive(Debug)]
pub struct ToRib(pub Arc<Inbox>);

impl FibSink for ToRib {
    fn acks(&self, acks: Vec<FibAck>) {
        self.0.acks(acks);
    }

    fn next_hops(&self, states: Vec<(NextHop, NextHopState)>) {
        self.0.next_hops(states);
    }

    fn ready_for_more(&self) {
        self.0.fib_ready();
    }
}
