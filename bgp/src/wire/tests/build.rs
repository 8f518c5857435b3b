//! UPDATE bodies put together by hand.

use bytes::Bytes;

use crate::attrs::code;
use crate::wire::{DecodeContext, Update, decode_update};

pub const EXTERNAL: DecodeContext = DecodeContext {
    as4: true,
    external: true,
    extended_next_hop: false,
    families: [true; 2],
    add_path: [false; 2],
};
pub const INTERNAL: DecodeContext = DecodeContext {
    external: false,
    ..EXTERNAL
};
pub const OLD: DecodeContext = DecodeContext {
    as4: false,
    ..EXTERNAL
};

/// 10.1.0.0/16 and 10.2.3.0/24.
pub const NLRI: [u8; 7] = [16, 10, 1, 24, 10, 2, 3];

/// Withdrawn routes, attributes (each whole), prefixes.
pub fn body(withdrawn: &[u8], attrs: &[Vec<u8>], nlri: &[u8]) -> Bytes {
    let attrs = attrs.concat();
    let mut out = u16::try_from(withdrawn.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    out.extend_from_slice(withdrawn);
    out.extend_from_slice(&u16::try_from(attrs.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&attrs);
    out.extend_from_slice(nlri);
    out.into()
}

/// One attribute with a one-octet length, or a two-octet one if `flags` say so.
pub fn attr(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![flags, code];
    let length = u16::try_from(value.len()).unwrap();
    if flags & 0x10 != 0 {
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(u8::try_from(length).unwrap());
    }
    out.extend_from_slice(value);
    out
}

pub fn origin() -> Vec<u8> {
    attr(0x40, code::ORIGIN, &[0])
}

pub fn as_path() -> Vec<u8> {
    attr(0x40, code::AS_PATH, &[2, 1, 0, 0, 0xfd, 0xe9])
}

/// The same path as a peer without four-octet numbers sends it.
pub fn old_as_path() -> Vec<u8> {
    attr(0x40, code::AS_PATH, &[2, 1, 0xfd, 0xe9])
}

pub fn next_hop() -> Vec<u8> {
    attr(0x40, code::NEXT_HOP, &[192, 0, 2, 1])
}

pub fn local_pref() -> Vec<u8> {
    attr(0x40, code::LOCAL_PREF, &[0, 0, 0, 100])
}

/// What a sound UPDATE of that session carries.
pub fn mandatory(ctx: DecodeContext) -> Vec<Vec<u8>> {
    let mut attrs = vec![
        origin(),
        if ctx.as4 { as_path() } else { old_as_path() },
        next_hop(),
    ];
    if !ctx.external {
        attrs.push(local_pref());
    }
    attrs
}

/// The value of MP_REACH_NLRI.
pub fn mp_reach(afi: u16, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut value = afi.to_be_bytes().to_vec();
    value.extend_from_slice(&[1, u8::try_from(next_hop.len()).unwrap()]);
    value.extend_from_slice(next_hop);
    value.push(0);
    value.extend_from_slice(nlri);
    value
}

/// 2001:db8::`last`.
pub fn global(last: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// fe80::`last`.
pub fn link_local(last: u8) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

pub fn read(body: Bytes, ctx: DecodeContext) -> Update {
    decode_update(body, ctx).unwrap_or_else(|n| panic!("session reset: {n}"))
}

pub fn canonical(update: &Update) -> Vec<u8> {
    let mut out = vec![0xee; 3];
    update.canonical_attrs(&mut out);
    out
}
