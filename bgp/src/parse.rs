//! The small nom parsers that everything on the wire is read with. They are
//! called in loops, over a slice, and fail in one way: the input ended early.

use nom::IResult;
use nom::error::{ErrorKind, ParseError};

/// The input ended before the field did. One byte, so that results stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

impl<'a> ParseError<&'a [u8]> for Short {
    fn from_error_kind(_: &'a [u8], _: ErrorKind) -> Self {
        Short
    }

    fn append(_: &'a [u8], _: ErrorKind, _: Self) -> Self {
        Short
    }
}

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Short>;

#[inline]
pub(crate) fn octet(input: &[u8]) -> Parsed<'_, u8> {
    nom::number::complete::be_u8(input)
}

#[inline]
pub(crate) fn word(input: &[u8]) -> Parsed<'_, u16> {
    nom::number::complete::be_u16(input)
}

#[inline]
pub(crate) fn long(input: &[u8]) -> Parsed<'_, u32> {
    nom::number::complete::be_u32(input)
}

#[inline]
pub(crate) fn bytes(input: &[u8], count: usize) -> Parsed<'_, &[u8]> {
    nom::bytes::complete::take(count)(input)
}

/// A field with a one-octet length before it.
#[inline]
pub(crate) fn short_field(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, length) = octet(input)?;
    bytes(input, length.into())
}

/// A field with a two-octet length before it.
#[inline]
pub(crate) fn long_field(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, length) = word(input)?;
    bytes(input, length.into())
}
