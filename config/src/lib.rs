//! The daemon's TOML file: schema, errors that show the place, defaults, and
//! what a reload changes. Needs no daemon.
//!
//! [`load`] or [`parse`] give a [`Config`] with every default filled in and
//! every name resolved, or all errors at once; [`diff`] compares two.
#![forbid(unsafe_code)]

mod diff;
mod docs;
pub mod edit;
mod error;
mod model;
mod parse;
mod password;
mod path;
mod policies;
mod reader;
mod schema;
mod settings;
mod suggest;
mod syntax;
mod trial;
mod values;

pub use diff::{Diff, Effect, PeerChange, Scope, change, diff};
pub use docs::reference;
pub use error::{ConfigErrors, Problem};
pub use model::{
    AddPathConfig, AggregateConfig, ApiConfig, BfdConfig, Changes, Config, DefaultOriginateConfig,
    FibConfig, LimitAction, LimitCount, LogConfig, LogFormat, NextHopConfig, OnStop,
    OriginateConfig, PeerBfdConfig, PeerConfig, PeerKey, PolicyChain, PrefixLimit, RemoteAs,
    RouterConfig,
};
pub use parse::{ReadPeer, load, load_with, parse, parse_running, parse_with, read_text};
pub use password::{Password, PasswordError};
pub use path::{LocalAs, PathConfig, PathSettings};
pub use policies::RuleText;
pub use settings::{DefaultSettings, FamilySettings, KeySpans, PeerSettings};
pub use trial::{Trial, TrialPeer, TrialSession, Tried};
pub use values::{MAX_SEND_PATHS, interface_name};
