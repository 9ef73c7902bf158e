//! Notifies the service manager that started this process, if one did: systemd, or a container runtime
//! with its protocol. It knows then when the service is ready, that it is stopping, and that it is alive.

use std::{future, time::Duration};

use sd_notify::NotifyState;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Reports that the service does its work from now on.
pub(crate) fn notify_ready() {
    notify(NotifyState::Ready);
}

/// Reports that the service is stopping, once `stop` is cancelled; and until the returned handle is
/// dropped, that its tasks still run, if the service manager's watchdog asks for that.
pub(crate) fn follow(stop: &CancellationToken) -> AbortOnDropHandle<()> {
    let stop = stop.clone();
    let stopping = async move {
        stop.cancelled().await;
        notify(NotifyState::Stopping);
    };
    let interval = sd_notify::watchdog_enabled().map(|timeout| timeout / 2);
    // A task of its own: if the worker threads of the runtime are blocked, it does not run either.
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::join!(stopping, feed_watchdog(interval));
    }))
}

async fn feed_watchdog(interval: Option<Duration>) {
    let Some(interval) = interval else { return future::pending().await };
    loop {
        notify(NotifyState::Watchdog);
        tokio::time::sleep(interval).await;
    }
}

/// Does nothing without a service manager.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}
