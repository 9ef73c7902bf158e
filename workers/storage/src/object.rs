use std::{
    io,
    ops::Range,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path as Key;

/// An object of a store.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Its key, which includes the tenant where the store is shared by tenants.
    pub(crate) key: Key,
    /// Its location in messages, as the user named it.
    pub(crate) shown: String,
}

/// How an object is downloaded by a signed URL.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// How long the URL is valid.
    pub valid_for: Duration,
    /// The response's `Content-Disposition`.
    pub disposition: &'a str,
    /// The response's `Content-Type`.
    pub content_type: &'a str,
}

/// Metadata of an object.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last modification.
    pub modified: SystemTime,
}

/// An object that is being read.
pub struct Reading {
    /// Size of the whole object in bytes.
    pub size: u64,
    /// The byte range that is read.
    pub range: Range<u64>,
    /// The contents of the range, in chunks.
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({:?} of {})", self.range, self.size)
    }
}

/// Size and hash of an object that is completely stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 digest in hexadecimal.
    pub sha256: String,
}

/// What is directly beneath a prefix: an object, or all objects that share the next segment.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The segment after the prefix.
    pub(crate) name: String,
    /// Time of the last modification of any of its objects.
    pub(crate) modified: SystemTime,
    /// Size of all of its objects in bytes.
    pub(crate) size: u64,
}
