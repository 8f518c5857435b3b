//! Which of two connections to one peer stays (RFC 4271 §6.8, RFC 6286 §2.3).

use super::io::Direction;
use crate::types::{Asn, RouterId};

/// The direction of the connection to keep, as seen from us: that which was
/// opened by the side with the higher BGP Identifier, read as a number in host
/// order, or with equal ones the higher AS number. Both sides agree on it.
pub(super) fn surviving_direction(local: (RouterId, Asn), remote: (RouterId, Asn)) -> Direction {
    if local >= remote {
        Direction::Outgoing
    } else {
        Direction::Incoming
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(a: (u32, u32), b: (u32, u32)) -> (Direction, Direction) {
        let a = (RouterId(a.0), Asn(a.1));
        let b = (RouterId(b.0), Asn(b.1));
        (surviving_direction(a, b), surviving_direction(b, a))
    }

    #[test]
    fn the_higher_identifier_keeps_what_it_opened() {
        let (outgoing, incoming) = (Direction::Outgoing, Direction::Incoming);
        assert_eq!(both((2, 1), (1, 9)), (outgoing, incoming));
        assert_eq!(both((1, 9), (2, 1)), (incoming, outgoing));
    }

    #[test]
    fn identifiers_compare_as_numbers_in_host_order() {
        let low = u32::from(std::net::Ipv4Addr::new(9, 0, 0, 200));
        let high = u32::from(std::net::Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(
            both((high, 1), (low, 1)),
            (Direction::Outgoing, Direction::Incoming)
        );
    }

    #[test]
    fn equal_identifiers_leave_it_to_the_as_number() {
        assert_eq!(
            both((7, 70000), (7, 65001)),
            (Direction::Outgoing, Direction::Incoming)
        );
    }
}
