//! What a server says of its own accord: progress of a call, for the one who made it, and that its lists have changed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rmcp::ClientHandler;
use rmcp::RoleClient;
use rmcp::model::{
    ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProgressToken,
};
use rmcp::service::NotificationContext;
use tokio::sync::Notify;

/// Hears the progress of one call.
pub type Listener = Arc<dyn Fn(ProgressNotificationParam) + Send + Sync>;

/// Who hears what, of one server.
#[derive(Default)]
pub(super) struct Switchboard {
    listeners: Mutex<HashMap<ProgressToken, Listener>>,
    /// Something of its lists has changed.
    pub(super) relist: Notify,
}

/// One that hears, until it is dropped.
pub struct Heard {
    switchboard: Arc<Switchboard>,
    token: ProgressToken,
}

impl Switchboard {
    /// Passes on the progress under a token, as long as what is given back is held.
    pub(super) fn listen(self: &Arc<Self>, token: ProgressToken, listener: Listener) -> Heard {
        self.listeners.lock().insert(token.clone(), listener);
        Heard { switchboard: self.clone(), token }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.switchboard.listeners.lock().remove(&self.token);
    }
}

/// This side of the connection to a server.
pub(super) struct Line(pub(super) Arc<Switchboard>);

impl ClientHandler for Line {
    fn get_info(&self) -> ClientConfig {
        // Neither sampling nor elicitation nor roots: whoever is behind us speaks for itself only.
        ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("stead", env!("CARGO_PKG_VERSION")).with_title("Stead"),
        )
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let listener = self.0.listeners.lock().get(&params.progress_token).cloned();
        if let Some(listener) = listener {
            listener(params);
        }
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.relist.notify_one();
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.relist.notify_one();
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.0.relist.notify_one();
    }
}
