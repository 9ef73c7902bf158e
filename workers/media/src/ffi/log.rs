use std::{
    ffi::{CStr, c_char, c_int, c_void},
    panic::catch_unwind,
    sync::OnceLock,
};

use ffmpeg_the_third::ffi;

/// Receives one line that a library logged: its level and its text.
pub(crate) type LogSink = Box<dyn Fn(&'static str, String) + Send + Sync>;

/// The longest line in bytes, including the final NUL; longer ones are truncated.
const MAX_LINE_LENGTH: c_int = 1024;

const BUFFER_SIZE: usize = MAX_LINE_LENGTH.unsigned_abs() as usize;

static LOG: OnceLock<LogSink> = OnceLock::new();

/// A `va_list` of C as a parameter.
#[cfg(not(target_arch = "aarch64"))]
type Arguments = *mut ffi::__va_list_tag;
/// There it is a structure that is passed by value.
#[cfg(target_arch = "aarch64")]
type Arguments = ffi::va_list;

/// Passes the log lines of the libraries, from warnings up, to `sink`. Works once per process: the
/// log is global, which is one reason why each task has its own process.
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
    arguments: Arguments,
) {
    let name = if level <= ffi::AV_LOG_ERROR {
        "error"
    } else if level <= ffi::AV_LOG_WARNING {
        "warning"
    } else {
        return;
    };
    let mut line: [c_char; BUFFER_SIZE] = [0; BUFFER_SIZE];
    let mut prefix: c_int = 1;
    // SAFETY: the arguments are FFmpeg's own, used once; the line is truncated and terminated.
    unsafe {
        ffi::av_log_format_line2(
            context,
            level,
            format,
            arguments,
            line.as_mut_ptr(),
            MAX_LINE_LENGTH,
            &raw mut prefix,
        )
    };
    // SAFETY: `av_log_format_line2` always ends the line with NUL inside the array.
    let text = unsafe { CStr::from_ptr(line.as_ptr()) }.to_string_lossy().trim_end().to_owned();
    let _ = catch_unwind(|| {
        if let Some(sink) = LOG.get() {
            sink(name, text);
        }
    });
}
