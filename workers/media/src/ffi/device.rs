//! Hardware that FFmpeg has open, and the frames that live in it.

use std::{ffi::CString, ptr};

use ffmpeg_the_third::{self as ffmpeg, codec, ffi, filter, format};

/// A reference of our own to something that FFmpeg counts.
struct Held(*mut ffi::AVBufferRef);

// SAFETY: references are counted atomically, and this one is ours.
unsafe impl Send for Held {}

impl Held {
    /// One reference more; null if there is none to be had.
    fn again(&self) -> *mut ffi::AVBufferRef {
        // SAFETY: ours is valid as long as we are; the new one belongs to whoever it is given to.
        unsafe { ffi::av_buffer_ref(self.0) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: ours, given back once.
        unsafe { ffi::av_buffer_unref(&raw mut self.0) };
    }
}

/// An open VA-API device.
pub(crate) struct HardwareDevice(Held);

/// The pool of frames that a filter graph uploads into.
pub(crate) struct HardwareFrames(Held);

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
        if opened < 0 { Err(opened.into()) } else { Ok(Self(Held(device))) }
    }

    /// Tells every filter of a graph that is not configured yet where to upload to.
    pub(crate) fn give_to(&self, graph: &mut filter::Graph) {
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
            unsafe { (*filter).hw_device_ctx = self.0.again() };
        }
    }
}

impl HardwareFrames {
    /// The pool that a configured sink takes its frames from; none if they are in memory.
    pub(crate) fn of_sink(sink: &filter::Context<'_>) -> Option<Self> {
        // SAFETY: a configured sink of a living graph.
        let sink = unsafe { sink.as_ptr() };
        // SAFETY: only reads it; the reference stays the sink's.
        let frames = unsafe { ffi::av_buffersink_get_hw_frames_ctx(sink) };
        if frames.is_null() {
            return None;
        }
        // SAFETY: a valid reference; the new one is ours.
        let own = unsafe { ffi::av_buffer_ref(frames) };
        (!own.is_null()).then_some(Self(Held(own)))
    }

    /// Lets an encoder that is not open yet take such frames.
    pub(crate) fn give_to(&self, context: &mut codec::Context) {
        // SAFETY: the pointer is only used while we borrow the context mutably.
        let context = unsafe { context.as_mut_ptr() };
        // SAFETY: an allocated, unopened context, whose own reference replaces none.
        unsafe { (*context).hw_frames_ctx = self.0.again() };
        // SAFETY: as above.
        unsafe { (*context).pix_fmt = format::Pixel::VAAPI.into() };
    }
}
