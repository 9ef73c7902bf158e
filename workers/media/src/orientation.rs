//! How a camera was held, as it wrote into its JPEG picture (Exif 2.32, tag 0x0112).

use std::io::BufReader;

use exif::{In, Reader, Tag};

use crate::file::OpenFile;

/// How a viewer turns a picture: clockwise by 0, 90, 180 or 270 degrees; and whether it then mirrors it
/// from left to right. Nothing, if the picture does not say.
pub(crate) fn of(picture: &OpenFile) -> (u16, bool) {
    told(picture).map_or((0, false), turn)
}

fn told(picture: &OpenFile) -> Option<u32> {
    let mut file = BufReader::new(picture.reader());
    let exif = Reader::new().read_from_container(&mut file).ok()?;
    exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0)
}

/// The tag's number says where the first row and the first column are to be seen.
const fn turn(told: u32) -> (u16, bool) {
    match told {
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
