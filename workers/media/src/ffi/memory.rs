use std::{
    ffi::{CString, c_int, c_void},
    ptr,
};

use ffmpeg_the_third::{self as ffmpeg, ffi, format};
use nix::libc;

/// A muxer that writes to memory, from which its bytes are taken; it opens no file.
pub(crate) struct MemoryOutput {
    /// Dropped first, as declared first: it may still write through `io`.
    pub(crate) context: format::context::Output,
    io: Io,
}

struct Io {
    context: *mut ffi::AVIOContext,
    bytes: *mut Vec<u8>,
}

// SAFETY: both pointers belong to this value alone and are used by one thread at a time, the one
// that owns it; FFmpeg keeps no thread-local state about them.
unsafe impl Send for Io {}

const BUFFER_SIZE: c_int = 64 * 1024;
const BUFFER: usize = BUFFER_SIZE.unsigned_abs() as usize;

impl Io {
    fn new() -> Result<Self, ffmpeg::Error> {
        // SAFETY: plain allocation, checked below; the context takes it over and `drop` frees it.
        let buffer = unsafe { ffi::av_malloc(BUFFER) };
        if buffer.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        let bytes = Box::into_raw(Box::<Vec<u8>>::default());
        // SAFETY: `buffer` has BUFFER bytes; `bytes` lives as long as the context, since `drop`
        // frees both; the callback takes what `bytes` points to.
        let context = unsafe {
            ffi::avio_alloc_context(
                buffer.cast(),
                BUFFER_SIZE,
                1,
                bytes.cast(),
                None,
                Some(write_bytes),
                None,
            )
        };
        let io = Self { context, bytes };
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
        drop(unsafe { Box::from_raw(self.bytes) });
    }
}

impl Drop for MemoryOutput {
    fn drop(&mut self) {
        // SAFETY: the pointer is only used while we borrow the output mutably.
        let context = unsafe { self.context.as_mut_ptr() };
        // Dropping the context would close what `pb` points to, but `io` is not a file.
        // SAFETY: writes a plain field of an allocated context.
        unsafe { (*context).pb = ptr::null_mut() };
    }
}

impl MemoryOutput {
    /// Opens a muxer by its name.
    pub(crate) fn open(muxer: &str) -> Result<Self, ffmpeg::Error> {
        let io = Io::new()?;
        let name = CString::new(muxer).map_err(|_| ffmpeg::Error::MuxerNotFound)?;
        let mut context = ptr::null_mut();
        // SAFETY: all pointers are valid; on success the context is ours.
        let outcome = unsafe {
            ffi::avformat_alloc_output_context2(
                &raw mut context,
                ptr::null(),
                name.as_ptr(),
                ptr::null(),
            )
        };
        if outcome < 0 {
            return Err(outcome.into());
        }
        // SAFETY: allocated above, not yet in use.
        let raw = unsafe { &mut *context };
        raw.pb = io.context;
        raw.flags |= c_int::try_from(ffi::AVFMT_FLAG_CUSTOM_IO).unwrap_or(0);
        // SAFETY: allocated above and owned by this value alone; freed on drop, which ignores `pb`.
        let context = unsafe { format::context::Output::wrap(context) };
        Ok(Self { context, io })
    }

    /// Flushes the muxer's buffered packets, and takes everything that was written so far.
    pub(crate) fn take(&mut self) -> Result<Vec<u8>, ffmpeg::Error> {
        // SAFETY: the pointer is only used while we borrow the output mutably.
        let output = unsafe { self.context.as_mut_ptr() };
        // SAFETY: an open output whose header is written; no packet means "flush".
        let outcome = unsafe { ffi::av_write_frame(output, ptr::null_mut()) };
        if outcome < 0 { Err(outcome.into()) } else { Ok(self.written()) }
    }

    /// Takes everything that was written so far, without flushing the muxer.
    pub(crate) fn written(&mut self) -> Vec<u8> {
        // SAFETY: our own context, as long as we live.
        unsafe { ffi::avio_flush(self.io.context) };
        // SAFETY: nothing else writes while we borrow the output mutably.
        std::mem::take(unsafe { &mut *self.io.bytes })
    }

    /// Sets a private option of the muxer, also after its header is written.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), ffmpeg::Error> {
        let (name, value) = (CString::new(name), CString::new(value));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(ffmpeg::Error::Bug) };
        // SAFETY: the pointer is only used while we borrow the output mutably.
        let output = unsafe { self.context.as_mut_ptr() };
        // SAFETY: reads a plain field of an open output.
        let private = unsafe { (*output).priv_data };
        // SAFETY: the muxer's own options; both texts end with NUL.
        let outcome = unsafe { ffi::av_opt_set(private, name.as_ptr(), value.as_ptr(), 0) };
        if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
    }
}

/// What a write callback gets.
#[cfg(ffmpeg_7_0)]
type Written = *const u8;
#[cfg(not(ffmpeg_7_0))]
type Written = *mut u8;

unsafe extern "C" fn write_bytes(bytes: *mut c_void, buffer: Written, size: c_int) -> c_int {
    let Ok(length) = usize::try_from(size) else { return ffi::AVERROR(libc::EINVAL) };
    // SAFETY: `bytes` is the vector that `Io::new` registered, and only this thread uses it now.
    let bytes = unsafe { &mut *bytes.cast::<Vec<u8>>() };
    // SAFETY: FFmpeg passes a buffer of `size` bytes that is ours for this call.
    bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(buffer, length) });
    size
}
