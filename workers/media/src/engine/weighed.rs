//! A channel of packets, bounded by their number and by their bytes: how large a packet is, the file says.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    mpsc::{self, SyncSender, sync_channel},
};

use ffmpeg_the_third::Packet;

/// Bytes that may wait in one channel; one packet always may.
const BYTES: usize = 64 * 1024 * 1024;

/// What waits in a channel, and whether anybody takes it.
#[derive(Debug, Default)]
struct Load {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    closed: bool,
}

impl Load {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that packets are put into.
#[derive(Debug)]
pub(super) struct Sender {
    packets: SyncSender<Packet>,
    load: Arc<Load>,
}

/// The end that they are taken from.
#[derive(Debug)]
pub(super) struct Receiver {
    packets: mpsc::Receiver<Packet>,
    load: Arc<Load>,
}

/// A channel in which so many packets may wait.
pub(super) fn channel(room: usize) -> (Sender, Receiver) {
    let (send, receive) = sync_channel(room);
    let load = Arc::new(Load::default());
    (Sender { packets: send, load: Arc::clone(&load) }, Receiver { packets: receive, load })
}

impl Sender {
    /// Passes a packet on once there is room; false if nobody takes any more.
    pub(super) fn send(&self, packet: Packet) -> bool {
        let bytes = packet.size();
        let mut state = self.load.lock();
        while !state.closed && state.bytes > 0 && state.bytes.saturating_add(bytes) > BYTES {
            state = self.load.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.bytes = state.bytes.saturating_add(bytes);
        drop(state);
        self.packets.send(packet).is_ok()
    }
}

impl Receiver {
    /// The next packet; none once nobody sends any more.
    pub(super) fn next(&self) -> Option<Packet> {
        let packet = self.packets.recv().ok()?;
        let mut state = self.load.lock();
        state.bytes = state.bytes.saturating_sub(packet.size());
        drop(state);
        self.load.changed.notify_one();
        Some(packet)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.load.lock().closed = true;
        self.load.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn packets_wait_by_number_and_by_bytes_and_one_always_may() {
        let (send, receive) = channel(4);
        assert!(send.send(Packet::new(BYTES * 2)), "one of any size");
        let sending = thread::spawn(move || send.send(Packet::new(1)) && send.send(Packet::new(2)));
        assert!(!sending.is_finished(), "no room beside it");
        assert_eq!(receive.next().map(|packet| packet.size()), Some(BYTES * 2));
        assert!(sending.join().unwrap());
        assert_eq!(receive.next().map(|packet| packet.size()), Some(1));
        assert_eq!(receive.next().map(|packet| packet.size()), Some(2));
        assert!(receive.next().is_none());
    }

    #[test]
    fn a_sender_that_waits_for_room_sees_that_nobody_takes_any_more() {
        let (send, receive) = channel(4);
        assert!(send.send(Packet::new(BYTES)));
        let sending = thread::spawn(move || send.send(Packet::new(BYTES)));
        drop(receive);
        assert!(!sending.join().unwrap());
    }
}
