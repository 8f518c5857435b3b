//! Watching routes change.

use std::fmt;
use std::sync::Arc;

use godwit_rib::TapId;
use tokio::sync::{Notify, oneshot};

use super::{RibError, RibHandle};

/// An open tap; closed when dropped.
pub struct Tap {
    id: TapId,
    ready: Arc<Notify>,
    rib: RibHandle,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap").field(&self.id).finish()
    }
}

impl Tap {
    pub(super) async fn open(rib: RibHandle) -> Result<Tap, RibError> {
        let ready = Arc::new(Notify::new());
        let (reply, answer) = oneshot::channel();
        let notify = Arc::clone(&ready);
        rib.inbox.job(move |core| {
            let id = core.rib.open_tap();
            core.taps.push((id, notify));
            if reply.send(id).is_err() {
                core.close_tap(id);
            }
        });
        let id = answer.await.map_err(|_| RibError::Gone)?;
        Ok(Tap { id, ready, rib })
    }

    /// For [`poll_tap`](godwit_rib::Rib::poll_tap) in a query.
    pub fn id(&self) -> TapId {
        self.id
    }

    /// Waits until there is something to poll; may return for nothing.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let id = self.id;
        self.rib.inbox.job(move |core| core.close_tap(id));
    }
}
