//! Messages with open files attached: a child receives descriptors and never a path to open.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
};

use ffapi_domain::media::MAX_INPUTS;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{body, decode, prefix};

/// Bytes of the control message that carries the descriptors.
const CONTROL_SIZE: usize = rustix::cmsg_space!(ScmRights(MAX_INPUTS));

/// Sends a whole message with its files; blocks while the socket's buffer is full.
///
/// # Errors
/// When the other side is gone, the message is too long or has more than [`MAX_INPUTS`] files.
pub fn send(to: &impl AsFd, message: &impl Serialize, files: &[File]) -> io::Result<()> {
    let bytes = framed(message)?;
    let mut sent = send_beginning(to.as_fd(), &bytes, files)?;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        let part = rustix::net::send(to, rest, SendFlags::NOSIGNAL)?;
        sent = sent.saturating_add(part);
    }
    Ok(())
}

/// A message with its length prefix, as it is sent.
///
/// # Errors
/// When it is too long.
pub fn framed(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let bytes = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    Ok([&prefix(&bytes)?[..], &bytes].concat())
}

/// Sends the first bytes of a framed message, with its files; returns how many bytes were sent.
///
/// # Errors
/// `WouldBlock` when the socket's buffer is full; otherwise as [`send`].
pub fn send_beginning(to: BorrowedFd<'_>, bytes: &[u8], files: &[File]) -> io::Result<usize> {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); CONTROL_SIZE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fits = files.len() <= MAX_INPUTS;
    if !fits || !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other(format!("a task has at most {MAX_INPUTS} inputs")));
    }
    Ok(sendmsg(to, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives a message and the files attached to it; none once the other side has closed the socket.
///
/// # Errors
/// When the socket is closed within a message, or the message cannot be decoded.
pub fn receive<T: DeserializeOwned>(from: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<File>)>> {
    let mut from = Incoming { socket: from, files: vec![] };
    let Some(bytes) = body(&mut from)? else { return Ok(None) };
    Ok(Some((decode(&bytes)?, from.files)))
}

/// Reads a socket's bytes, and keeps the files attached to them in the order of their arrival.
struct Incoming<'a> {
    socket: BorrowedFd<'a>,
    files: Vec<File>,
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); CONTROL_SIZE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(buffer)];
        let received = recvmsg(self.socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files.map(File::from));
            }
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::*;

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn files_are_received_with_their_message_and_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, &"first", &[file("a"), file("bc"), file("def")]).unwrap();
        send(&ours, &"second", &[]).unwrap();
        drop(ours);
        let (message, files) = receive::<String>(theirs.as_fd()).unwrap().unwrap();
        let sizes: Vec<u64> = files.iter().map(|file| file.metadata().unwrap().len()).collect();
        assert_eq!((message.as_str(), sizes), ("first", vec![1, 2, 3]));
        let (message, files) = receive::<String>(theirs.as_fd()).unwrap().unwrap();
        assert_eq!((message.as_str(), files.len()), ("second", 0));
        assert!(receive::<String>(theirs.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_message_with_too_many_files_is_not_sent() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let files = |count| (0..count).map(|_| file("x")).collect::<Vec<_>>();
        send(&ours, &"most", &files(MAX_INPUTS)).unwrap();
        assert_eq!(receive::<String>(theirs.as_fd()).unwrap().unwrap().1.len(), MAX_INPUTS);
        assert!(send(&ours, &"more", &files(MAX_INPUTS + 1)).is_err());
    }

    #[test]
    fn a_message_that_is_too_long_is_neither_sent_nor_received() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let long = "x".repeat(super::super::MAX_MESSAGE as usize);
        assert!(send(&ours, &long, &[]).is_err());
        (&ours).write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(receive::<String>(theirs.as_fd()).is_err());
    }
}
