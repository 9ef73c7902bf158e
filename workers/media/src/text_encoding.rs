//! Text files in other encodings than UTF-8, which FFmpeg's subtitle demuxers expect.

use std::{io::Read, sync::Arc};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use crate::{MediaError, file::OpenFile};

/// The most bytes of a text file; more than any real subtitle file has.
const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;

/// The text of a file in UTF-8 with line feeds; `None` if it is that already. A single byte that fits
/// no encoding becomes U+FFFD.
///
/// # Errors
/// `invalid_input` if the file is too large for subtitles or cannot be read.
pub(crate) fn normalized(file: &OpenFile) -> Result<Option<OpenFile>, MediaError> {
    if file.size() > MAX_TEXT_BYTES {
        return Err(MediaError::input("the subtitles are larger than 16 MiB"));
    }
    let mut bytes = Vec::new();
    let read = file.reader().read_to_end(&mut bytes);
    read.map_err(|error| MediaError::input(format!("the subtitles cannot be read: {error}")))?;
    let is_normal = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&b'\r');
    if is_normal {
        return Ok(None);
    }
    let text = decode(&bytes).replace("\r\n", "\n").replace('\r', "\n");
    Ok(Some(OpenFile::Bytes(Arc::from(text.into_bytes()))))
}

fn decode(bytes: &[u8]) -> String {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes.get(length..).unwrap_or_default()).0.into_owned();
    }
    let encoding = if is_mostly_utf8(bytes) { UTF_8 } else { detect(bytes) };
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// True if a few damaged bytes are all that keeps the text from being UTF-8.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut multibyte, mut damaged) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        multibyte =
            multibyte.saturating_add(chunk.valid().chars().filter(|c| !c.is_ascii()).count());
        damaged = damaged.saturating_add(usize::from(!chunk.invalid().is_empty()));
    }
    multibyte > 0 && damaged <= multibyte
}

fn detect(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "1\n00:00:00,500 --> 00:00:01,500\nCafé naïve\n";

    fn text(bytes: &[u8]) -> Option<String> {
        let file = OpenFile::Bytes(Arc::from(bytes));
        let mut text = String::new();
        normalized(&file).unwrap()?.reader().read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn text_of_any_encoding_becomes_utf8() {
        let utf16 = |unit: fn(u16) -> [u8; 2], order: [u8; 2]| {
            let units = TEXT.encode_utf16().flat_map(unit);
            order.into_iter().chain(units).collect::<Vec<u8>>()
        };
        let latin: Vec<u8> = TEXT.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        for bytes in [
            utf16(u16::to_le_bytes, [0xff, 0xfe]),
            utf16(u16::to_be_bytes, [0xfe, 0xff]),
            latin,
            TEXT.replace('\n', "\r").into_bytes(),
            TEXT.replace('\n', "\r\n").into_bytes(),
        ] {
            assert_eq!(text(&bytes).as_deref(), Some(TEXT), "{bytes:?}");
        }
        let russian = "Привет, мир! Как дела?\n";
        assert_eq!(text(&encoding_rs::WINDOWS_1251.encode(russian).0).as_deref(), Some(russian));
    }

    #[test]
    fn utf8_is_left_alone_and_a_damaged_byte_replaced() {
        assert_eq!(text(TEXT.as_bytes()), None);
        let mut damaged = TEXT.as_bytes().to_vec();
        damaged.extend(b"broken \xff byte\n");
        assert_eq!(text(&damaged), Some(format!("{TEXT}broken \u{fffd} byte\n")));
    }
}
