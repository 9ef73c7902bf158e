use std::{
    ffi::{CStr, c_char, c_int, c_void},
    panic::catch_unwind,
    sync::OnceLock,
};

use ffmpeg_the_third::ffi;

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
