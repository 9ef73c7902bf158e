//! What a VA-API driver says of itself, by libva alone.

use std::{
    ffi::{CStr, c_int},
    fs::{File, OpenOptions},
    os::fd::AsRawFd,
    path::Path,
};

use libva_sys::va_display_drm as va;

/// What a driver says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Driver {
    /// What it calls itself.
    pub(crate) name: String,
    /// VA-API's numbers of the profiles that it encodes.
    pub(crate) encodes: Vec<i32>,
}

/// An open driver; its file outlives it.
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

/// Asks the driver of a render node.
pub(crate) fn ask_driver(node: &Path) -> Result<Driver, String> {
    let display = open(node)?;
    // SAFETY: an initialized display; the text belongs to the driver and lives as long.
    let vendor = unsafe { va::vaQueryVendorString(display.display) };
    let name = if vendor.is_null() {
        String::new()
    } else {
        // SAFETY: not null, and ended by a zero as the interface demands.
        unsafe { CStr::from_ptr(vendor) }.to_string_lossy().into_owned()
    };
    let encodes = profiles(&display)?.into_iter().filter(|profile| encodes(&display, *profile));
    Ok(Driver { name, encodes: encodes.collect() })
}

fn open(node: &Path) -> Result<Display, String> {
    let file = OpenOptions::new().read(true).write(true).open(node);
    let file = file.map_err(|error| format!("it cannot be opened: {error}"))?;
    // SAFETY: the descriptor is open, and stays so as long as the display.
    let display = unsafe { va::vaGetDisplayDRM(file.as_raw_fd()) };
    if display.is_null() {
        return Err("it is no render node".to_owned());
    }
    // SAFETY: a display that is not initialized yet; callbacks of none silence the library.
    unsafe { va::vaSetErrorCallback(display, None, std::ptr::null_mut()) };
    // SAFETY: as above.
    unsafe { va::vaSetInfoCallback(display, None, std::ptr::null_mut()) };
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both numbers are ours to be written.
    let status = unsafe { va::vaInitialize(display, &raw mut major, &raw mut minor) };
    let display = Display { display, _node: file };
    check(status, "its driver does not start").map(|()| display)
}

fn profiles(display: &Display) -> Result<Vec<i32>, String> {
    // SAFETY: an initialized display.
    let most = unsafe { va::vaMaxNumProfiles(display.display) };
    let mut found = room(most)?;
    let mut count = most;
    let list = found.as_mut_ptr();
    // SAFETY: the list has room for as many as the driver says it has at most.
    let status = unsafe { va::vaQueryConfigProfiles(display.display, list, &raw mut count) };
    check(status, "its driver does not say what it can do")?;
    found.truncate(usize::try_from(count).unwrap_or(0));
    Ok(found)
}

fn encodes(display: &Display, profile: i32) -> bool {
    // SAFETY: an initialized display.
    let most = unsafe { va::vaMaxNumEntrypoints(display.display) };
    let Ok(wide @ 1..=256) = usize::try_from(most) else { return false };
    let mut found: Vec<va::VAEntrypoint> = vec![0; wide];
    let mut count = most;
    let list = found.as_mut_ptr();
    // SAFETY: the list has room for as many as the driver says it has at most.
    let status =
        unsafe { va::vaQueryConfigEntrypoints(display.display, profile, list, &raw mut count) };
    found.truncate(usize::try_from(count).unwrap_or(0));
    let slices = [va::VAEntrypoint_VAEntrypointEncSlice, va::VAEntrypoint_VAEntrypointEncSliceLP];
    status == 0 && found.iter().any(|entry| slices.contains(entry))
}

/// Zeros for as many answers as a driver promises; drivers that promise nonsense are not asked.
fn room(most: c_int) -> Result<Vec<i32>, String> {
    match usize::try_from(most) {
        Ok(most @ 1..=256) => Ok(vec![0; most]),
        _ => Err("its driver does not say what it can do".to_owned()),
    }
}

fn check(status: i32, what: &str) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("{what} (VA-API says {status})")) }
}
