//! The gRPC API, package `godwit.v1`: generated types, clients and servers, and
//! what the daemon and its clients need to speak it.
//!
//! The `.proto` files beside this crate are the API's documentation. Every
//! message also serialises with serde, under the names those files give.
#![forbid(unsafe_code)]

pub mod convert;
pub mod json;
pub mod policy;
pub mod text;

/// Generated from `godwit/v1/*.proto`.
#[allow(clippy::all, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("godwit.v1");

    /// The files, compiled, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/godwit.v1.bin"));
}

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/godwit/godwit.sock";
