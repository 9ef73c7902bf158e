//! Notifications of the service manager, as systemd receives them.

use std::os::unix::net::UnixDatagram;

use crate::stack::Stack;

/// A socket like that of a service manager.
struct ServiceManager {
    socket: UnixDatagram,
}

impl ServiceManager {
    /// The next notification.
    fn next(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    }

    /// All notifications up to the first that `wanted` accepts.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last| last != wanted) {
            all.push(self.next());
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_notified_of_the_start_the_stop_and_of_being_alive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = ServiceManager { socket: UnixDatagram::bind(&path).unwrap() };
    manager.socket.set_read_timeout(Some(crate::polling::POLL_TIMEOUT)).unwrap();
    let settings = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")];
    let mut stack = Stack::with(&settings).await;

    let starting = manager.until("READY=1");
    assert!(starting[..starting.len() - 1].iter().all(|message| message == "WATCHDOG=1"));
    assert_eq!((manager.next(), manager.next()), ("WATCHDOG=1".into(), "WATCHDOG=1".into()));

    stack.terminate();
    // The servers that it started report nothing of their own.
    let stopping = manager.until("STOPPING=1");
    assert!(stopping[..stopping.len() - 1].iter().all(|message| message == "WATCHDOG=1"));
    stack.exited().await;
}
