//! Files that are open already: a child is handed its inputs as descriptors, and names none of them.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

/// An open file that any number of readers read, each from a position of its own.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile(Arc<File>);

impl OpenFile {
    /// Opens a file that this process made itself.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self::from)
    }

    /// Bytes; 0 if it cannot be said.
    pub(crate) fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |meta| meta.len())
    }

    /// A reader that begins at the first byte.
    pub(crate) fn reader(&self) -> Reader {
        Reader { file: self.clone(), position: 0 }
    }
}

impl From<File> for OpenFile {
    fn from(file: File) -> Self {
        Self(Arc::new(file))
    }
}

impl AsRef<File> for OpenFile {
    fn as_ref(&self) -> &File {
        &self.0
    }
}

/// Reads an open file without moving the descriptor's own position, which others share.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: OpenFile,
    pub(crate) position: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.0.read_at(buffer, self.position)?;
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
        let (mut one, mut other) = (file.reader(), file.reader());
        let mut four = [0; 4];
        one.read_exact(&mut four).unwrap();
        other.seek(SeekFrom::End(-2)).unwrap();
        one.read_exact(&mut four).unwrap();
        assert_eq!((&four, file.size()), (b"4567", 10));
        let mut rest = String::new();
        other.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "89");
        assert!(one.seek(SeekFrom::Current(-9)).is_err());
    }
}
