//! IPv4 over IPv6 next hops (RFC 8950), and sessions on links that have no
//! addresses but the link-local ones that every interface makes for itself.

mod extended;
