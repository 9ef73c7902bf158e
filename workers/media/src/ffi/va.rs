//! Queries a VA-API driver's name and encoders by libva.

use std::{
    ffi::{CStr, c_int},
    fs::{File, OpenOptions},
    os::fd::AsRawFd,
    path::Path,
};

use libva_sys::va_display_drm as va;

/// A driver's name and encoders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Driver {
    /// Its vendor string.
    pub(crate) name: String,
    /// The VA-API profile numbers that it can encode.
    pub(crate) encodes: Vec<i32>,
}

/// An initialized display; its device file stays open for as long.
struct Display {
    display: va::VADisplay,
    _node: File,
}

impl Drop for Display {
    fn drop(&mut self) {
        // SAFETY: initialized once, terminated once.
        unsafe { va::vaTerminate(self.display) };
    }
}

/// Queries the driver of a render node.
///
/// # Errors
/// With the reason, when the node cannot be opened or its driver fails.
pub(crate) fn query_driver(node: &Path) -> Result<Driver, String> {
    let display = open(node)?;
    // SAFETY: an initialized display; the text belongs to the driver and lives as long.
    let vendor = unsafe { va::vaQueryVendorString(display.display) };
    let name = if vendor.is_null() {
        String::new()
    } else {
        // SAFETY: not null, and terminated with NUL as the interface requires.
        unsafe { CStr::from_ptr(vendor) }.to_string_lossy().into_owned()
    };
    let encodes = profiles(&display)?.into_iter().filter(|profile| encodes(&display, *profile));
    Ok(Driver { name, encodes: encodes.collect() })
}

fn open(node: &Path) -> Result<Display, String> {
    let file = OpenOptions::new().read(true).write(true).open(node);
    let file = file.map_err(|error| format!("it cannot be opened: {error}"))?;
    // SAFETY: the descriptor is open, and stays open as long as the display.
    let display = unsafe { va::vaGetDisplayDRM(file.as_raw_fd()) };
    if display.is_null() {
        return Err("it is not a render node".to_owned());
    }
    // SAFETY: a display that is not initialized yet; null callbacks silence the library.
    unsafe { va::vaSetErrorCallback(display, None, std::ptr::null_mut()) };
    // SAFETY: as above.
    unsafe { va::vaSetInfoCallback(display, None, std::ptr::null_mut()) };
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two numbers that are ours.
    let status = unsafe { va::vaInitialize(display, &raw mut major, &raw mut minor) };
    let display = Display { display, _node: file };
    check(status, "its driver failed to start").map(|()| display)
}

fn profiles(display: &Display) -> Result<Vec<i32>, String> {
    // SAFETY: an initialized display.
    let max = unsafe { va::vaMaxNumProfiles(display.display) };
    let mut found = zeros(max)?;
    let mut count = max;
    let list = found.as_mut_ptr();
    // SAFETY: the list has as many entries as the driver states at most.
    let status = unsafe { va::vaQueryConfigProfiles(display.display, list, &raw mut count) };
    check(status, "its driver does not list its profiles")?;
    found.truncate(usize::try_from(count).unwrap_or(0));
    Ok(found)
}

fn encodes(display: &Display, profile: i32) -> bool {
    // SAFETY: an initialized display.
    let max = unsafe { va::vaMaxNumEntrypoints(display.display) };
    let Ok(length @ 1..=256) = usize::try_from(max) else { return false };
    let mut found: Vec<va::VAEntrypoint> = vec![0; length];
    let mut count = max;
    let list = found.as_mut_ptr();
    // SAFETY: the list has as many entries as the driver states at most.
    let status =
        unsafe { va::vaQueryConfigEntrypoints(display.display, profile, list, &raw mut count) };
    found.truncate(usize::try_from(count).unwrap_or(0));
    let slices = [va::VAEntrypoint_VAEntrypointEncSlice, va::VAEntrypoint_VAEntrypointEncSliceLP];
    status == 0 && found.iter().any(|entry| slices.contains(entry))
}

/// A list of as many entries as a driver states at most; an error for an implausible number.
fn zeros(max: c_int) -> Result<Vec<i32>, String> {
    match usize::try_from(max) {
        Ok(max @ 1..=256) => Ok(vec![0; max]),
        _ => Err("its driver does not list its profiles".to_owned()),
    }
}

fn check(status: i32, what: &str) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("{what} (VA-API status {status})")) }
}
