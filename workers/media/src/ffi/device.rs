//! Hardware devices that FFmpeg has open, and frames in their memory.

use std::{ffi::CString, ptr};

use ffmpeg_the_third::{self as ffmpeg, codec, ffi, filter, format};

/// An owned reference to a buffer that FFmpeg counts references of.
struct BufferRef(*mut ffi::AVBufferRef);

// SAFETY: references are counted atomically, and this one is ours.
unsafe impl Send for BufferRef {}

impl BufferRef {
    /// Another reference, which the caller owns; null if there is no memory.
    fn new_ref(&self) -> *mut ffi::AVBufferRef {
        // SAFETY: our reference is valid as long as we are; the caller owns the new one.
        unsafe { ffi::av_buffer_ref(self.0) }
    }
}

impl Drop for BufferRef {
    fn drop(&mut self) {
        // SAFETY: ours, and released once.
        unsafe { ffi::av_buffer_unref(&raw mut self.0) };
    }
}

/// An open VA-API device.
pub(crate) struct HardwareDevice(BufferRef);

/// The pool of frames that a filter graph uploads into.
pub(crate) struct HardwareFrames(BufferRef);

impl HardwareDevice {
    /// Opens the device at a path.
    pub(crate) fn open(path: &str) -> Result<Self, ffmpeg::Error> {
        let path = CString::new(path).map_err(|_| ffmpeg::Error::InvalidData)?;
        let mut device = ptr::null_mut();
        let kind = ffi::AVHWDeviceType::VAAPI;
        // SAFETY: writes a reference that is ours; the path outlives the call.
        let opened = unsafe {
            ffi::av_hwdevice_ctx_create(&raw mut device, kind, path.as_ptr(), ptr::null_mut(), 0)
        };
        if opened < 0 { Err(opened.into()) } else { Ok(Self(BufferRef(device))) }
    }

    /// Sets the device on every filter of a graph, before it is configured, for uploads to it.
    pub(crate) fn attach_to(&self, graph: &mut filter::Graph) {
        // SAFETY: an allocated graph that we borrow mutably.
        let graph = unsafe { graph.as_mut_ptr() };
        // SAFETY: allocated, and ours alone.
        let graph = unsafe { &*graph };
        let (filters, count) = (graph.filters, usize::try_from(graph.nb_filters).unwrap_or(0));
        for number in 0..count {
            // SAFETY: the list has `count` filters.
            let filter = unsafe { filters.add(number) };
            // SAFETY: as above.
            let filter = unsafe { *filter };
            // SAFETY: an allocated filter, whose own reference replaces none.
            unsafe { (*filter).hw_device_ctx = self.0.new_ref() };
        }
    }
}

impl HardwareFrames {
    /// The pool that a configured sink takes its frames from; none if they are in memory.
    pub(crate) fn of_sink(sink: &filter::Context<'_>) -> Option<Self> {
        // SAFETY: a configured sink of a live graph.
        let sink = unsafe { sink.as_ptr() };
        // SAFETY: only reads it; the reference stays the sink's.
        let frames = unsafe { ffi::av_buffersink_get_hw_frames_ctx(sink) };
        if frames.is_null() {
            return None;
        }
        // SAFETY: a valid reference; the new one is ours.
        let own = unsafe { ffi::av_buffer_ref(frames) };
        (!own.is_null()).then_some(Self(BufferRef(own)))
    }

    /// Sets the pool on an encoder, before it is opened, so that it takes such frames.
    pub(crate) fn attach_to(&self, context: &mut codec::Context) {
        // SAFETY: the pointer is only used while we borrow the context mutably.
        let context = unsafe { context.as_mut_ptr() };
        // SAFETY: an allocated, unopened context, whose own reference replaces none.
        unsafe { (*context).hw_frames_ctx = self.0.new_ref() };
        // SAFETY: as above.
        unsafe { (*context).pix_fmt = format::Pixel::VAAPI.into() };
    }
}
