//! Files that are already open: a child receives its inputs as descriptors and never opens a path.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt},
    path::Path,
    sync::Arc,
};

use crate::protocol::ranged::RangedInput;

/// An open file with any number of readers, each with its own position.
#[derive(Debug, Clone)]
pub(crate) enum OpenFile {
    /// A descriptor.
    File(Arc<File>),
    /// An object that the worker reads by ranges.
    Ranged(Arc<RangedInput>),
    /// Content that this process made from one, such as text in another encoding.
    Bytes(Arc<[u8]>),
}

impl OpenFile {
    /// Opens a file that this process created.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self::from)
    }

    /// An input as it was received: a file, or a socket over which it is read.
    pub(crate) fn received(file: File) -> io::Result<Self> {
        if !file.metadata()?.file_type().is_socket() {
            return Ok(file.into());
        }
        let input = RangedInput::new(file)?;
        Ok(Self::Ranged(Arc::new(input)))
    }

    /// Reads bytes from a position on; 0 at the end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(buffer, position),
            Self::Ranged(input) => input.read_at(buffer, position),
            Self::Bytes(bytes) => {
                let start = usize::try_from(position).unwrap_or(usize::MAX);
                bytes.get(start..).unwrap_or_default().read(buffer)
            }
        }
    }

    /// The size in bytes; 0 if it is unknown.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Ranged(input) => input.size(),
            Self::File(file) => file.metadata().map_or(0, |meta| meta.len()),
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The first bytes, at most `length`; fewer if the file is shorter or cannot be read.
    pub(crate) fn head(&self, length: u64) -> Vec<u8> {
        let mut head = Vec::new();
        let _ = self.reader().take(length).read_to_end(&mut head);
        head
    }

    /// A reader that starts at the first byte.
    pub(crate) fn reader(&self) -> Reader {
        Reader { file: self.clone(), position: 0 }
    }
}

impl From<File> for OpenFile {
    fn from(file: File) -> Self {
        Self::File(Arc::new(file))
    }
}

/// Reads an open file without moving the descriptor's position, which all readers share.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: OpenFile,
    pub(crate) position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.file.size().checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn readers_of_one_descriptor_do_not_move_each_other() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = OpenFile::from(file);
        let (mut first, mut second) = (file.reader(), file.reader());
        let mut buffer = [0; 4];
        first.read_exact(&mut buffer).unwrap();
        second.seek(SeekFrom::End(-2)).unwrap();
        first.read_exact(&mut buffer).unwrap();
        assert_eq!((&buffer, file.size()), (b"4567", 10));
        let mut rest = String::new();
        second.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "89");
        assert!(first.seek(SeekFrom::Current(-9)).is_err());
    }
}
