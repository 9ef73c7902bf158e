use std::{
    ffi::{c_int, c_void},
    io::{Read, Seek, SeekFrom},
    os::fd::AsRawFd,
};

use ffmpeg_the_third::{self as ffmpeg, ffi};
use nix::libc;

use crate::file::{OpenFile, Reader};

/// The I/O context by which FFmpeg reads a file.
pub(super) struct Io {
    pub(super) context: *mut ffi::AVIOContext,
    source: *mut Reader,
}

// SAFETY: both pointers belong to this value alone and are used by one thread at a time, the one
// that owns it; FFmpeg keeps no thread-local state about them.
unsafe impl Send for Io {}

impl Io {
    pub(super) fn new(file: &OpenFile) -> Result<Self, ffmpeg::Error> {
        // SAFETY: plain allocation, checked below; the context takes it over and `drop` frees it.
        let buffer = unsafe { ffi::av_malloc(BUFFER) };
        if buffer.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        let source = Box::into_raw(Box::new(file.reader()));
        // SAFETY: `buffer` has BUFFER bytes; `source` lives as long as the context, since `drop`
        // frees both; the callbacks take what `source` points to.
        let context = unsafe {
            ffi::avio_alloc_context(
                buffer.cast(),
                BUFFER_SIZE,
                0,
                source.cast(),
                Some(read_file),
                None,
                Some(seek_file),
            )
        };
        let io = Self { context, source };
        if context.is_null() {
            // SAFETY: no context took it over.
            unsafe { ffi::av_free(buffer) };
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        Ok(io)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if !self.context.is_null() {
            // SAFETY: the buffer may have been replaced by FFmpeg; the current one is ours to free.
            let buffer = unsafe { &raw mut (*self.context).buffer };
            // SAFETY: frees what the slot points to and clears the slot.
            unsafe { ffi::av_freep(buffer.cast()) };
            // SAFETY: allocated in `new`, and nothing uses it any more.
            unsafe { ffi::avio_context_free(&raw mut self.context) };
        }
        // SAFETY: made by `Box::into_raw` in `new`, and freed nowhere else.
        drop(unsafe { Box::from_raw(self.source) });
    }
}

const BUFFER_SIZE: c_int = 256 * 1024;
const BUFFER: usize = BUFFER_SIZE.unsigned_abs() as usize;

unsafe extern "C" fn read_file(source: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    let Ok(length) = usize::try_from(size) else { return ffi::AVERROR(libc::EINVAL) };
    // SAFETY: `source` is the `Reader` that `Io::new` registered, and only this thread uses it now.
    let reader = unsafe { &mut *source.cast::<Reader>() };
    let Ok(position) = i64::try_from(reader.position) else { return ffi::AVERROR(libc::EINVAL) };
    let file = match &reader.file {
        OpenFile::File(file) => file,
        OpenFile::Bytes(_) | OpenFile::Ranged(_) => {
            let mut bytes = vec![0; length];
            return match reader.read(&mut bytes) {
                Ok(0) => ffi::AVERROR_EOF,
                Ok(count) => {
                    let count = count.min(length);
                    // SAFETY: FFmpeg passes a buffer of `size` bytes that is ours for this call and is
                    // no part of `bytes`, which has as many; `count` is at most that.
                    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, count) };
                    c_int::try_from(count).unwrap_or(c_int::MAX)
                }
                Err(_) => ffi::AVERROR(libc::EIO),
            };
        }
    };
    let descriptor = file.as_raw_fd();
    // The memory may be uninitialised, so no slice may be created for it.
    // SAFETY: FFmpeg passes a buffer of `size` bytes that is ours for this call, and the kernel
    // writes no more than that into it; the descriptor is open as long as the reader.
    let read = unsafe { libc::pread(descriptor, buffer.cast(), length, position) };
    match u64::try_from(read) {
        Ok(0) => ffi::AVERROR_EOF,
        Ok(read) => {
            reader.position = reader.position.saturating_add(read);
            c_int::try_from(read).unwrap_or(c_int::MAX)
        }
        Err(_) => ffi::AVERROR(libc::EIO),
    }
}

unsafe extern "C" fn seek_file(source: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: `source` is the `Reader` that `Io::new` registered, and only this thread uses it now.
    let reader = unsafe { &mut *source.cast::<Reader>() };
    let failed = i64::from(ffi::AVERROR(libc::EINVAL));
    let to = match whence & !ffi::AVSEEK_FORCE {
        ffi::AVSEEK_SIZE => {
            return i64::try_from(reader.file.size()).unwrap_or(i64::MAX);
        }
        libc::SEEK_SET => u64::try_from(offset).ok().map(SeekFrom::Start),
        libc::SEEK_CUR => Some(SeekFrom::Current(offset)),
        libc::SEEK_END => Some(SeekFrom::End(offset)),
        _ => None,
    };
    let position = to.and_then(|to| reader.seek(to).ok());
    position.and_then(|position| i64::try_from(position).ok()).unwrap_or(failed)
}
