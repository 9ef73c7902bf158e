//! The one place that talks to C: what the safe bindings lack. Every block says why it is sound.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    panic::catch_unwind,
    path::Path,
    ptr,
    sync::OnceLock,
};

use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, codec, ffi, filter, format, frame};
use nix::libc;

/// An input that reads one open file and can open nothing else.
pub(crate) struct Input {
    /// Dropped first, as declared first: closing it may still read through `io`.
    pub(crate) context: format::context::Input,
    _io: Io,
}

/// A file behind FFmpeg's reading interface.
struct Io {
    context: *mut ffi::AVIOContext,
    source: *mut File,
}

// SAFETY: both pointers belong to this value alone and are used by one thread at a time, the one
// that owns it; FFmpeg keeps no thread-local state about them.
unsafe impl Send for Io {}

impl Io {
    fn new(file: File) -> Result<Self, ffmpeg::Error> {
        let source = Box::into_raw(Box::new(file));
        // SAFETY: plain allocation; the context takes it over and `drop` frees it.
        let buffer = unsafe { ffi::av_malloc(BUFFER) };
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
        if context.is_null() { Err(ffmpeg::Error::Other { errno: libc::ENOMEM }) } else { Ok(io) }
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
    /// Opens `path` with our own reader: no protocol, only `formats`, and every wish of a demuxer
    /// to open another file is refused.
    pub(crate) fn open(path: &Path, formats: &str) -> Result<Self, ffmpeg::Error> {
        let failed = |error: &io::Error| ffmpeg::Error::Other {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        let io = Io::new(file)?;
        // SAFETY: allocation only; a null result is checked below.
        let mut context = unsafe { ffi::avformat_alloc_context() };
        if context.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        // SAFETY: `context` is valid and not yet opened; a set `pb` makes FFmpeg use and not free it.
        unsafe { (*context).pb = io.context };
        // SAFETY: as above; the callback has the type that FFmpeg declares.
        unsafe { (*context).io_open = Some(refuse_open) };
        let mut options = ffmpeg::Dictionary::new();
        options.set("format_whitelist", formats);
        options.set("protocol_whitelist", "none");
        options.set("max_streams", "64");
        let mut raw = options.into_raw();
        let name = CString::default();
        // SAFETY: all pointers are valid; on failure FFmpeg frees `context` but not `pb`.
        let outcome = unsafe {
            ffi::avformat_open_input(&raw mut context, name.as_ptr(), ptr::null(), &raw mut raw)
        };
        // SAFETY: what is left of the options is ours to free; null is allowed.
        unsafe { ffi::av_dict_free(&raw mut raw) };
        if outcome < 0 {
            return Err(outcome.into());
        }
        // SAFETY: opened above and owned by nobody else; `Input` closes it on drop.
        let input = unsafe { format::context::Input::wrap(context) };
        let opened = Self { context: input, _io: io };
        // SAFETY: `context` was opened above.
        let outcome = unsafe { ffi::avformat_find_stream_info(context, ptr::null_mut()) };
        if outcome < 0 { Err(outcome.into()) } else { Ok(opened) }
    }

    /// The container's first instant, in microseconds; none if it does not say.
    pub(crate) fn start_time(&self) -> Option<i64> {
        // SAFETY: the pointer is only looked at while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: the context is open as long as we are.
        let start = unsafe { (*context).start_time };
        (start != ffi::AV_NOPTS_VALUE).then_some(start)
    }

    /// Lets the demuxer drop the packets of a stream nobody wants.
    pub(crate) fn discard(&mut self, stream: usize) {
        if let Some(mut stream) = self.context.stream_mut(stream) {
            // SAFETY: the stream belongs to an open context that we borrow mutably.
            let stream = unsafe { stream.as_mut_ptr() };
            // SAFETY: writes a plain field of it.
            unsafe { (*stream).discard = ffi::AVDiscard::ALL };
        }
    }

    /// Clockwise degrees that a player turns a stream by; 0, 90, 180 or 270.
    pub(crate) fn rotation(&self, stream: usize) -> u16 {
        let Some(stream) = self.context.stream(stream) else { return 0 };
        let mut size = 0_usize;
        // SAFETY: the stream belongs to an open context that we borrow.
        let stream = unsafe { stream.as_ptr() };
        // SAFETY: the answer points into the stream and is only read below.
        let matrix = unsafe {
            ffi::av_stream_get_side_data(
                stream,
                ffi::AVPacketSideDataType::DISPLAYMATRIX,
                &raw mut size,
            )
        };
        if matrix.is_null() || size < 36 {
            return 0;
        }
        // SAFETY: at least nine 32-bit numbers stand there, as checked; FFmpeg aligns side data.
        let degrees = unsafe { ffi::av_display_rotation_get(matrix.cast()) };
        if !degrees.is_finite() {
            return 0;
        }
        // FFmpeg counts against the clock.
        let quarter = (-degrees / 90.0).round().rem_euclid(4.0);
        [0, 90, 180, 270]
            .into_iter()
            .zip([0.0, 1.0, 2.0, 3.0])
            .fold(0, |found, (turn, n)| if (quarter - n).abs() < 0.5 { turn } else { found })
    }
}

unsafe extern "C" fn read_file(source: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    let Ok(length) = usize::try_from(size) else { return ffi::AVERROR(libc::EINVAL) };
    // SAFETY: `source` is the `File` that `Io::new` registered, and only this thread uses it now.
    let file = unsafe { &mut *source.cast::<File>() };
    // SAFETY: FFmpeg passes a buffer of `size` bytes that is ours for this call.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    match file.read(buffer) {
        Ok(0) => ffi::AVERROR_EOF,
        Ok(read) => c_int::try_from(read).unwrap_or(c_int::MAX),
        Err(_) => ffi::AVERROR(libc::EIO),
    }
}

unsafe extern "C" fn seek_file(source: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: `source` is the `File` that `Io::new` registered, and only this thread uses it now.
    let file = unsafe { &mut *source.cast::<File>() };
    let failed = i64::from(ffi::AVERROR(libc::EINVAL));
    let to = match whence & !ffi::AVSEEK_FORCE {
        ffi::AVSEEK_SIZE => {
            return file
                .metadata()
                .map_or(failed, |meta| i64::try_from(meta.len()).unwrap_or(i64::MAX));
        }
        libc::SEEK_SET => u64::try_from(offset).ok().map(SeekFrom::Start),
        libc::SEEK_CUR => Some(SeekFrom::Current(offset)),
        libc::SEEK_END => Some(SeekFrom::End(offset)),
        _ => None,
    };
    let position = to.and_then(|to| file.seek(to).ok());
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

/// Takes one line that a library wrote: its level and words.
pub(crate) type LogSink = Box<dyn Fn(&'static str, String) + Send + Sync>;

/// The longest line that is kept.
const LINE: c_int = 1024;

static LOG: OnceLock<LogSink> = OnceLock::new();

/// Passes what the libraries have to say, from warnings up, to `sink`. Once per process: the log is
/// process-wide, which is one reason why each task has a process of its own.
pub(crate) fn capture_log(sink: LogSink) {
    if LOG.set(sink).is_ok() {
        // SAFETY: the callback has the declared type, may be called from any thread, never unwinds.
        unsafe { ffi::av_log_set_callback(Some(log_line)) };
    }
}

unsafe extern "C" fn log_line(
    context: *mut c_void,
    level: c_int,
    format: *const c_char,
    arguments: *mut ffi::__va_list_tag,
) {
    let word = if level <= ffi::AV_LOG_ERROR {
        "error"
    } else if level <= ffi::AV_LOG_WARNING {
        "warning"
    } else {
        return;
    };
    let mut line: [c_char; LINE.unsigned_abs() as usize] = [0; LINE.unsigned_abs() as usize];
    let mut prefix: c_int = 1;
    // SAFETY: the arguments are FFmpeg's own, used once; the line is cut to its length and ended.
    unsafe {
        ffi::av_log_format_line2(
            context,
            level,
            format,
            arguments,
            line.as_mut_ptr(),
            LINE,
            &raw mut prefix,
        )
    };
    // SAFETY: `av_log_format_line2` always ends the line with NUL inside the array.
    let text = unsafe { CStr::from_ptr(line.as_ptr()) }.to_string_lossy().trim_end().to_owned();
    let _ = catch_unwind(|| {
        if let Some(sink) = LOG.get() {
            sink(word, text);
        }
    });
}

/// What a decoder needs that the safe bindings do not pass on.
pub(crate) fn prepare_decoder(context: &mut codec::Context, time_base: Rational, threads: u16) {
    const MAX_PIXELS: i64 = 8192 * 8192;
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    raw.pkt_timebase = time_base.into();
    raw.max_pixels = MAX_PIXELS;
    raw.thread_type = c_int::try_from(ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE).unwrap_or(0);
    raw.thread_count = c_int::from(threads);
}

/// What an encoder needs that the safe bindings do not pass on: colours as in the source, threads,
/// and headers in the container where that wants them.
pub(crate) fn prepare_encoder(
    context: &mut codec::Context,
    source: Option<&codec::Parameters>,
    global_header: bool,
    threads: u16,
) {
    // SAFETY: the pointer is only used while we borrow the context mutably.
    let raw = unsafe { context.as_mut_ptr() };
    // SAFETY: an allocated, unopened context, and ours alone.
    let raw = unsafe { &mut *raw };
    if let Some(source) = source {
        // SAFETY: parameters are always allocated; only plain fields are read.
        let source = unsafe { &*source.as_ptr() };
        raw.color_range = source.color_range;
        raw.color_primaries = source.color_primaries;
        raw.color_trc = source.color_trc;
        raw.colorspace = source.color_space;
        raw.chroma_sample_location = source.chroma_location;
    }
    if global_header {
        raw.flags |= c_int::try_from(ffi::AV_CODEC_FLAG_GLOBAL_HEADER).unwrap_or(0);
    }
    raw.thread_count = c_int::from(threads);
}

/// The pixel or sample format number that a stream declares; negative if it does not.
pub(crate) fn declared_format(parameters: &codec::Parameters) -> c_int {
    // SAFETY: parameters are always allocated; a plain field is read.
    unsafe { (*parameters.as_ptr()).format }
}

/// The time base of what comes out of a sink.
pub(crate) fn sink_time_base(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a living graph; the answer is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_time_base(sink) }.into()
}

/// The shape of the pixels that come out of a sink.
pub(crate) fn sink_pixel_aspect(sink: &filter::Context<'_>) -> Rational {
    // SAFETY: a configured sink of a living graph; the answer is a value.
    let sink = unsafe { sink.as_ptr() };
    // SAFETY: only reads it.
    unsafe { ffi::av_buffersink_get_sample_aspect_ratio(sink) }.into()
}

/// One thread per graph: the pipeline's own threads are the parallelism.
pub(crate) fn single_threaded(graph: &mut filter::Graph) {
    // SAFETY: an allocated, unconfigured graph that we borrow mutably; a plain field is written.
    let graph = unsafe { graph.as_mut_ptr() };
    // SAFETY: writes a plain field of it.
    unsafe { (*graph).nb_threads = 1 };
}

/// An empty frame of either kind.
pub(crate) fn empty_frame() -> frame::Frame {
    // SAFETY: allocates a frame without data, which is valid for every receiver.
    unsafe { frame::Frame::empty() }
}

/// Writes a packet, also one that carries side data alone.
pub(crate) fn write_packet(
    output: &mut format::context::Output,
    packet: &mut Packet,
) -> Result<(), ffmpeg::Error> {
    use ffmpeg::packet::Mut;
    // SAFETY: the pointer is only used while we borrow the output mutably.
    let output = unsafe { output.as_mut_ptr() };
    // SAFETY: the output's header is written; the packet is ours, and FFmpeg takes its data over.
    let outcome = unsafe { ffi::av_interleaved_write_frame(output, packet.as_mut_ptr()) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// Closes the file of a finished output; a full disk shows here at the latest.
pub(crate) fn close_file(output: &mut format::context::Output) -> Result<(), ffmpeg::Error> {
    // SAFETY: an open output that we borrow mutably; the pointer is only passed on.
    let output = unsafe { output.as_mut_ptr() };
    // SAFETY: takes the address of a field of it.
    let slot = unsafe { &raw mut (*output).pb };
    // SAFETY: closes the file and clears the pointer, so that dropping the output closes nothing.
    let outcome = unsafe { ffi::avio_closep(slot) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(()) }
}

/// Lets everything else on the machine go first.
pub(crate) fn be_nice() {
    // SAFETY: changes this process' own priority; failure is harmless.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}

/// A stream's parameters, as a value of our own.
pub(crate) fn own_parameters(
    stream: &ffmpeg::Stream<'_>,
) -> Result<codec::Parameters, ffmpeg::Error> {
    let mut own = codec::Parameters::new();
    // SAFETY: both are allocated; FFmpeg copies deeply.
    let outcome =
        unsafe { ffi::avcodec_parameters_copy(own.as_mut_ptr(), stream.parameters().as_ptr()) };
    if outcome < 0 { Err(outcome.into()) } else { Ok(own) }
}
