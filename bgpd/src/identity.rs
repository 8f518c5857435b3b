//! The router-id, and the small file that keeps it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use godwit_bgp::RouterId;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::interfaces::Interfaces;
use crate::state;

/// What outlives the process. A host whose first address changes must not come
/// back as another router.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    router_id: Option<Ipv4Addr>,
}

/// Where the state file is.
#[derive(Clone, Debug)]
pub struct StateFile(PathBuf);

impl StateFile {
    pub fn in_directory(directory: &Path) -> StateFile {
        StateFile(directory.join("state.json"))
    }

    fn read(&self) -> State {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    warn!(file = %self.0.display(), "cannot read the state file: {e}");
                }
                return State::default();
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|e| {
            warn!(file = %self.0.display(), "ignored the state file: {e}");
            State::default()
        })
    }

    /// Replaces the file in one step: a crash leaves the old or the new one.
    fn write(&self, state: &State) -> io::Result<()> {
        if let Some(directory) = self.0.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut text = serde_json::to_string_pretty(state)?;
        text.push('\n');
        state::replace(&self.0, text.as_bytes(), 0o644, None)
    }
}

/// The router-id: as configured; else the one kept; else the source address of
/// the default route, else the first global IPv4 address, kept from then on.
pub fn router_id(
    configured: Option<RouterId>,
    file: &StateFile,
    interfaces: &Interfaces,
) -> Option<RouterId> {
    if configured.is_some() {
        return configured;
    }
    let mut state = file.read();
    if let Some(kept) = state.router_id {
        return Some(kept.into());
    }
    let found = default_source().or_else(|| interfaces.first_global_v4())?;
    state.router_id = Some(found);
    if let Err(e) = file.write(&state) {
        warn!(
            file = %file.0.display(),
            "cannot keep router-id {found}; after a restart it may be another: {e}"
        );
    }
    Some(found.into())
}

/// What this host would send from to somewhere far away. Connecting a datagram
/// socket asks the kernel and sends nothing.
fn default_source() -> Option<Ipv4Addr> {
    /// TEST-NET-3 (RFC 5737): nobody has a route to it but the default one.
    const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((FAR, 179)).ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(v4) if !v4.is_unspecified() && !v4.is_loopback() => Some(v4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_router_id_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(&directory.path().join("new"));
        let state = State {
            router_id: Some(Ipv4Addr::new(10, 9, 8, 7)),
        };
        file.write(&state).unwrap();
        assert_eq!(file.read(), state);
        let id = router_id(None, &file, &Interfaces::default());
        assert_eq!(id, Some(RouterId::from(Ipv4Addr::new(10, 9, 8, 7))));
    }

    #[test]
    fn a_configured_router_id_goes_before_the_kept_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(directory.path());
        file.write(&State {
            router_id: Some(Ipv4Addr::new(10, 9, 8, 7)),
        })
        .unwrap();
        let id = router_id(Some(RouterId(1)), &file, &Interfaces::default());
        assert_eq!(id, Some(RouterId(1)));
    }

    #[test]
    fn a_broken_state_file_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::in_directory(directory.path());
        fs::write(&file.0, "{").unwrap();
        assert_eq!(file.read(), State::default());
    }
}
