//! What anybody on a link may send to a peer that is found there.

use std::net::Ipv6Addr;

use godwit_netlink::Heard;

/// One octet that chooses the sender and its distance, then an ICMPv6 message.
pub fn router(data: &[u8]) {
    let Some((bits, message)) = data.split_first() else {
        return;
    };
    let neighbour = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let from = match bits & 3 {
        0 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        1 => Ipv6Addr::UNSPECIFIED,
        _ => neighbour,
    };
    let hop_limit = match bits >> 2 & 3 {
        0 => None,
        1 => Some(254),
        _ => Some(255),
    };
    match Heard::read(message, from, hop_limit) {
        // RFC 4861 §6.1: whole, of this link, options of a length.
        Some(Heard::Advertisement { from: sender, .. }) => {
            assert_eq!((sender, hop_limit), (neighbour, Some(255)));
            assert!(message.len() >= 16 && message.len() % 8 == 0);
        }
        Some(Heard::Solicitation) => {
            assert_eq!(hop_limit, Some(255));
            assert!(message.len() >= 8 && message.len() % 8 == 0);
        }
        None => {}
    }
}
