//! A channel of packets, bounded by their number and by their bytes: an input controls the size of
//! its packets.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    mpsc::{self, SyncSender, sync_channel},
};

use ffmpeg_the_third::Packet;

use crate::MediaError;

/// Bytes that may be queued in one channel; a single packet may be larger.
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// The bytes that are queued in a channel, and whether the receiver is closed.
#[derive(Debug, Default)]
struct Load {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    closed: bool,
    /// Why the packets are incomplete.
    error: Option<MediaError>,
}

impl Load {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct Sender {
    packets: SyncSender<Packet>,
    load: Arc<Load>,
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct Receiver {
    packets: mpsc::Receiver<Packet>,
    load: Arc<Load>,
}

/// A channel in which at most `capacity` packets are queued.
pub(crate) fn channel(capacity: usize) -> (Sender, Receiver) {
    let (send, receive) = sync_channel(capacity);
    let load = Arc::new(Load::default());
    (Sender { packets: send, load: Arc::clone(&load) }, Receiver { packets: receive, load })
}

impl Sender {
    /// Ends the channel with the reason why its packets are incomplete.
    pub(crate) fn fail(self, error: MediaError) {
        self.load.lock().error = Some(error);
    }

    /// Sends a packet, waiting for capacity; false if the receiver is closed.
    pub(crate) fn send(&self, packet: Packet) -> bool {
        let bytes = packet.size();
        let mut state = self.load.lock();
        while !state.closed
            && state.bytes > 0
            && state.bytes.saturating_add(bytes) > MAX_QUEUED_BYTES
        {
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
    /// Why the packets are incomplete, if they are; called at their end.
    pub(crate) fn error(&self) -> Option<MediaError> {
        self.load.lock().error.clone()
    }

    /// The next packet; `None` once all senders are closed.
    pub(crate) fn next(&self) -> Option<Packet> {
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
    fn the_queue_is_bounded_by_bytes_and_a_single_packet_may_exceed_them() {
        let (send, receive) = channel(4);
        assert!(send.send(Packet::new(MAX_QUEUED_BYTES * 2)), "a packet of any size is accepted");
        let sending = thread::spawn(move || send.send(Packet::new(1)) && send.send(Packet::new(2)));
        assert!(!sending.is_finished(), "no capacity for a second packet");
        assert_eq!(receive.next().map(|packet| packet.size()), Some(MAX_QUEUED_BYTES * 2));
        assert!(sending.join().unwrap());
        assert_eq!(receive.next().map(|packet| packet.size()), Some(1));
        assert_eq!(receive.next().map(|packet| packet.size()), Some(2));
        assert!(receive.next().is_none());
    }

    #[test]
    fn a_waiting_sender_returns_when_the_receiver_is_dropped() {
        let (send, receive) = channel(4);
        assert!(send.send(Packet::new(MAX_QUEUED_BYTES)));
        let sending = thread::spawn(move || send.send(Packet::new(MAX_QUEUED_BYTES)));
        drop(receive);
        assert!(!sending.join().unwrap());
    }
}
