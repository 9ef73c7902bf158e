use std::{
    ffi::{CString, c_char, c_int, c_void},
    io::{Seek, SeekFrom},
    os::fd::AsRawFd,
    ptr,
};

use ffmpeg_the_third::{self as ffmpeg, Packet, ffi, format};
use nix::libc;

use crate::{
    decoders::DECODERS,
    file::{OpenFile, Reader},
};

/// An input that reads one open file and cannot open any other.
pub(crate) struct Input {
    /// Dropped first, as declared first: closing it may still read through `io`.
    pub(crate) context: format::context::Input,
    _io: Io,
    /// The rotation and mirroring of an image by its Exif data, which FFmpeg does not read.
    pub(crate) held: (u16, bool),
}

/// The I/O context by which FFmpeg reads a file.
struct Io {
    context: *mut ffi::AVIOContext,
    source: *mut Reader,
}

// SAFETY: both pointers belong to this value alone and are used by one thread at a time, the one
// that owns it; FFmpeg keeps no thread-local state about them.
unsafe impl Send for Io {}

impl Io {
    fn new(file: &OpenFile) -> Result<Self, ffmpeg::Error> {
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

impl Input {
    /// Opens a file with our own reader: without protocols, only as one of `formats`, and denying
    /// demuxers to open any other file. Probes packets for what the header does not state.
    pub(crate) fn open(file: &OpenFile, formats: &str) -> Result<Self, ffmpeg::Error> {
        let mut opened = Self::open_header(file, formats)?;
        opened.find_stream_info()?;
        Ok(opened)
    }

    /// Opens a file that was opened before: reads only its header, if that describes every stream.
    pub(crate) fn reopen(file: &OpenFile, formats: &str) -> Result<Self, ffmpeg::Error> {
        let mut opened = Self::open_header(file, formats)?;
        if !opened.header_describes_streams() {
            opened.find_stream_info()?;
        }
        Ok(opened)
    }

    /// Reads packets to find what the header does not state about the streams.
    fn find_stream_info(&mut self) -> Result<(), ffmpeg::Error> {
        // SAFETY: the pointer is only used while we borrow the open context mutably.
        let context = unsafe { self.context.as_mut_ptr() };
        // SAFETY: the context is open, and ours alone; null stands for no options.
        let outcome = unsafe { ffi::avformat_find_stream_info(context, ptr::null_mut()) };
        if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
    }

    /// True for formats whose header states which streams follow, and how to decode them.
    fn header_describes_streams(&self) -> bool {
        let name = self.context.format().name().to_owned();
        ["mov,", "matroska,"].iter().any(|format| name.starts_with(format))
    }

    fn open_header(file: &OpenFile, formats: &str) -> Result<Self, ffmpeg::Error> {
        let io = Io::new(file)?;
        // SAFETY: allocation only; a null result is checked below.
        let mut context = unsafe { ffi::avformat_alloc_context() };
        if context.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        // SAFETY: `context` is valid and not yet opened; FFmpeg uses a `pb` that is set, and does
        // not free it.
        unsafe { (*context).pb = io.context };
        // SAFETY: as above; the callback has the type that FFmpeg declares.
        unsafe { (*context).io_open = Some(refuse_open) };
        let mut options = ffmpeg::Dictionary::new();
        options.set("format_whitelist", formats);
        options.set("codec_whitelist", DECODERS);
        options.set("protocol_whitelist", "none");
        options.set("max_streams", "64");
        let mut raw = options.into_raw();
        let name = CString::default();
        // SAFETY: all pointers are valid; on failure FFmpeg frees `context` but not `pb`.
        let outcome = unsafe {
            ffi::avformat_open_input(&raw mut context, name.as_ptr(), ptr::null(), &raw mut raw)
        };
        // SAFETY: the remaining options are ours to free; null is allowed.
        unsafe { ffi::av_dict_free(&raw mut raw) };
        if outcome < 0 {
            return Err(outcome.into());
        }
        // SAFETY: opened above and owned by this value alone; `Input` closes it on drop.
        let input = unsafe { format::context::Input::wrap(context) };
        Ok(Self { context: input, _io: io, held: (0, false) })
    }

    /// The next packet of any stream; none at the end.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet>, ffmpeg::Error> {
        let mut packet = Packet::empty();
        match packet.read(&mut self.context) {
            Ok(()) => Ok(Some(packet)),
            Err(ffmpeg::Error::Eof) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The container's start time in microseconds; none if it is not stated.
    pub(crate) fn start_time(&self) -> Option<i64> {
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: the context is open as long as we are.
        let start = unsafe { (*context).start_time };
        (start != ffi::AV_NOPTS_VALUE).then_some(start)
    }

    /// The container's duration in microseconds; none if it is not stated. FFmpeg's estimate from
    /// file size and initial bit rate does not count.
    pub(crate) fn duration(&self) -> Option<i64> {
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: the context is open as long as we are.
        let context = unsafe { &*context };
        let estimated =
            context.duration_estimation_method == ffi::AVDurationEstimationMethod::BITRATE;
        (context.duration > 0 && !estimated).then_some(context.duration)
    }

    /// The duration of a stream in its time base, if the container states it for each stream. For
    /// streams of other containers FFmpeg fills in the duration of the container, or an estimate by
    /// the last timestamps that it finds.
    pub(crate) fn stated_duration(&self, stream: &ffmpeg::Stream<'_>) -> Option<i64> {
        const UNSTATED: [&str; 5] = ["asf", "flv", "matroska,webm", "mpeg", "mpegts"];
        let states = !UNSTATED.contains(&self.context.format().name()) && self.duration().is_some();
        Some(stream.duration()).filter(|duration| states && *duration > 0)
    }

    /// Reads the file from its first byte again.
    pub(crate) fn rewind(&mut self) -> Result<(), ffmpeg::Error> {
        // SAFETY: the pointer is only used while we are borrowed.
        let context = unsafe { self.context.as_mut_ptr() };
        // SAFETY: the context is open as long as we are, and the call keeps no pointer.
        let code = unsafe { ffi::av_seek_frame(context, -1, 0, ffi::AVSEEK_FLAG_BYTE) };
        if code < 0 { Err(ffmpeg::Error::from(code)) } else { Ok(()) }
    }

    /// Makes the demuxer drop the packets of a stream that is not used.
    pub(crate) fn discard(&mut self, stream: usize) {
        if let Some(mut stream) = self.context.stream_mut(stream) {
            // SAFETY: the stream belongs to an open context that we borrow mutably.
            let stream = unsafe { stream.as_mut_ptr() };
            // SAFETY: writes a plain field of it.
            unsafe { (*stream).discard = ffi::AVDiscard::ALL };
        }
    }

    /// A stream's side data of one kind; none if it has none.
    pub(crate) fn side_data(
        &self,
        stream: usize,
        kind: ffi::AVPacketSideDataType,
    ) -> Option<Vec<u8>> {
        let stream = self.context.stream(stream)?;
        let mut size = 0_usize;
        // SAFETY: the stream belongs to an open context that we borrow.
        let stream = unsafe { stream.as_ptr() };
        // SAFETY: the result points into the stream and is only read below.
        let data = unsafe { ffi::av_stream_get_side_data(stream, kind, &raw mut size) };
        if data.is_null() {
            return None;
        }
        // SAFETY: it points to `size` bytes that live as long as the stream, which we borrow.
        Some(unsafe { std::slice::from_raw_parts(data, size) }.to_vec())
    }

    /// How a player rotates a stream, clockwise by 0, 90, 180 or 270 degrees, and whether it then
    /// mirrors it from left to right.
    pub(crate) fn rotation(&self, stream: usize) -> (u16, bool) {
        let matrix = self.side_data(stream, ffi::AVPacketSideDataType::DISPLAYMATRIX);
        let number = |bytes: &[u8]| Some(i32::from_ne_bytes(bytes.try_into().ok()?));
        let matrix: Vec<i32> =
            matrix.iter().flat_map(|matrix| matrix.chunks_exact(4)).filter_map(number).collect();
        let Ok(mut matrix) = <[i32; 9]>::try_from(matrix) else { return self.held };
        let [a, b, _, c, d, ..] = matrix.map(i64::from);
        let mirrored = a.saturating_mul(d) < b.saturating_mul(c);
        if mirrored {
            // Without the mirroring, it is a rotation.
            // SAFETY: the matrix has nine numbers and is ours alone.
            unsafe { ffi::av_display_matrix_flip(matrix.as_mut_ptr(), 1, 0) };
        }
        // SAFETY: the matrix has nine numbers.
        let degrees = unsafe { ffi::av_display_rotation_get(matrix.as_ptr()) };
        if !degrees.is_finite() {
            return (0, mirrored);
        }
        // FFmpeg's angle is counterclockwise.
        let quarter = (-degrees / 90.0).round().rem_euclid(4.0);
        let rotation = [0, 90, 180, 270]
            .into_iter()
            .zip([0.0, 1.0, 2.0, 3.0])
            .fold(0, |found, (angle, n)| if (quarter - n).abs() < 0.5 { angle } else { found });
        (rotation, mirrored)
    }

    /// The overall bit rate in bits per second; none if it is unknown.
    pub(crate) fn bitrate(&self) -> Option<u64> {
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: the context is open as long as we are.
        u64::try_from(unsafe { (*context).bit_rate }).ok().filter(|rate| *rate > 0)
    }
}

unsafe extern "C" fn read_file(source: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    let Ok(length) = usize::try_from(size) else { return ffi::AVERROR(libc::EINVAL) };
    // SAFETY: `source` is the `Reader` that `Io::new` registered, and only this thread uses it now.
    let reader = unsafe { &mut *source.cast::<Reader>() };
    let Ok(position) = i64::try_from(reader.position) else { return ffi::AVERROR(libc::EINVAL) };
    let descriptor = reader.file.as_ref().as_raw_fd();
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

unsafe extern "C" fn refuse_open(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    ffi::AVERROR(libc::EPERM)
}
