//! The orientation of a JPEG image (Exif 2.32, tag 0x0112).

use std::io::BufReader;

use exif::{In, Reader, Tag};

use crate::file::OpenFile;

/// How a viewer rotates an image: clockwise by 0, 90, 180 or 270 degrees; and whether it then
/// mirrors it from left to right. `(0, false)` if the file has no such tag.
pub(crate) fn of(image: &OpenFile) -> (u16, bool) {
    exif_orientation(image).map_or((0, false), rotation)
}

fn exif_orientation(image: &OpenFile) -> Option<u32> {
    let mut file = BufReader::new(image.reader());
    let exif = Reader::new().read_from_container(&mut file).ok()?;
    exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0)
}

/// The tag's value says on which sides the stored first row and first column are displayed.
const fn rotation(orientation: u32) -> (u16, bool) {
    match orientation {
        2 => (0, true),
        3 => (180, false),
        4 => (180, true),
        5 => (90, true),
        6 => (90, false),
        7 => (270, true),
        8 => (270, false),
        _ => (0, false),
    }
}
