//! An input that is read by ranges: its descriptor is a socket instead of a file. The worker first
//! sends the size; then it answers each request of the child with bytes.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::{Mutex, PoisonError},
};

/// Length of a request: offset and length.
pub const REQUEST_SIZE: usize = 12;
/// The most bytes of one request.
pub const MAX_RANGE: u32 = 1024 * 1024;
/// Answered instead of a length if the bytes cannot be had.
pub const FAILED: u32 = u32::MAX;

/// A request for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeRequest {
    /// Offset of the first byte.
    pub offset: u64,
    /// The most bytes that are wanted; [`MAX_RANGE`] at most.
    pub length: u32,
}

impl RangeRequest {
    /// Encodes the request.
    pub fn encode(self) -> [u8; REQUEST_SIZE] {
        let mut bytes = [0; REQUEST_SIZE];
        let (offset, length) = bytes.split_at_mut(8);
        offset.copy_from_slice(&self.offset.to_be_bytes());
        length.copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Decodes what [`Self::encode`] made; none if it asks for too much.
    pub fn decode(bytes: [u8; REQUEST_SIZE]) -> Option<Self> {
        let (offset, length) = bytes.split_first_chunk::<8>()?;
        let length = u32::from_be_bytes(*length.first_chunk()?);
        let offset = u64::from_be_bytes(*offset);
        (length <= MAX_RANGE).then_some(Self { offset, length })
    }
}

/// The child's end: an object that is read by ranges.
#[derive(Debug)]
pub struct RangedInput {
    /// One request at a time: the answer belongs to the last one. It is read and written as a file,
    /// because the sandbox has no calls for sockets.
    socket: Mutex<File>,
    size: u64,
}

impl RangedInput {
    /// Receives the object's size.
    ///
    /// # Errors
    /// When the worker is gone.
    pub fn new(mut socket: File) -> io::Result<Self> {
        let mut size = [0; 8];
        socket.read_exact(&mut size)?;
        Ok(Self { socket: Mutex::new(socket), size: u64::from_be_bytes(size) })
    }

    /// Size in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Reads bytes from an offset on; 0 at the end.
    ///
    /// # Errors
    /// When the worker cannot read the object, or is gone.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let length = u32::try_from(buffer.len()).unwrap_or(MAX_RANGE).min(MAX_RANGE);
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(&RangeRequest { offset, length }.encode())?;
        let mut answered = [0; 4];
        socket.read_exact(&mut answered)?;
        let answered = u32::from_be_bytes(answered);
        if answered > length {
            return Err(io::Error::other("the input cannot be read"));
        }
        let count = usize::try_from(answered).map_err(io::Error::other)?;
        let into = buffer.get_mut(..count).ok_or(io::ErrorKind::InvalidData)?;
        socket.read_exact(into)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::{fd::OwnedFd, unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_request_is_decoded_as_it_was_and_never_asks_for_too_much() {
        let request = RangeRequest { offset: u64::MAX - 1, length: MAX_RANGE };
        assert_eq!(RangeRequest::decode(request.encode()), Some(request));
        let greedy = RangeRequest { offset: 0, length: MAX_RANGE + 1 };
        assert_eq!(RangeRequest::decode(greedy.encode()), None);
    }

    #[test]
    fn bytes_arrive_as_the_worker_answers_and_a_failure_is_an_error() {
        let (mut worker, child) = UnixStream::pair().unwrap();
        let serving = std::thread::spawn(move || {
            worker.write_all(&10_u64.to_be_bytes()).unwrap();
            let mut requests = vec![];
            for answer in [&b"\0\0\0\x03def"[..], &FAILED.to_be_bytes()] {
                let mut request = [0; REQUEST_SIZE];
                worker.read_exact(&mut request).unwrap();
                requests.push(RangeRequest::decode(request).unwrap());
                worker.write_all(answer).unwrap();
            }
            requests
        });
        let input = RangedInput::new(OwnedFd::from(child).into()).unwrap();
        let mut buffer = [0; 7];
        assert_eq!((input.size(), input.read_at(&mut buffer, 3).unwrap()), (10, 3));
        assert_eq!(&buffer[..3], b"def");
        assert_eq!(input.read_at(&mut buffer, 10).unwrap(), 0, "nothing is asked for at the end");
        assert!(input.read_at(&mut buffer, 6).is_err());
        let wanted = [3, 6].map(|offset| RangeRequest { offset, length: 7 });
        assert_eq!(serving.join().unwrap(), wanted);
    }
}
