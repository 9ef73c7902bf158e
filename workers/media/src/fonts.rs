//! Fonts: an installed one that has the characters of a text, and those attached to an input.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use ffmpeg_the_third::codec;
use skrifa::{FontRef, MetadataProvider};

use crate::{ffi, ffi::Input};

/// From Debian's package fonts-dejavu-core.
const USUAL: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";
/// The folder of all installed fonts, and how deep they are in it.
const INSTALLED: &str = "/usr/share/fonts";
const MAX_DEPTH: u32 = 4;
/// The most fonts that are attached to an input, and the most bytes of one.
const MAX_ATTACHED: usize = 64;
const MAX_ATTACHED_BYTES: usize = 32 * 1024 * 1024;

/// The font for a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextFont {
    pub(crate) path: PathBuf,
    /// The characters that it lacks: no installed font has more of them.
    pub(crate) missing: String,
}

/// The usual font, or the installed one that has most characters of the text.
pub(crate) fn for_text(text: &str) -> TextFont {
    let font = |path: PathBuf| {
        let missing = missing(&path, text);
        TextFont { path, missing }
    };
    let mut best = font(PathBuf::from(USUAL));
    if best.missing.is_empty() {
        return best;
    }
    let mut installed = Vec::new();
    list(Path::new(INSTALLED), MAX_DEPTH, &mut installed);
    // Upright text fonts first.
    let rank = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (!name.contains("Regular"), !name.contains("Sans"), name)
    };
    installed.sort_by_cached_key(rank);
    for path in installed {
        let next = font(path);
        if next.missing.chars().count() < best.missing.chars().count() {
            best = next;
        }
        if best.missing.is_empty() {
            break;
        }
    }
    best
}

/// The characters of a text that a font lacks; all of them if it cannot be read.
fn missing(path: &Path, text: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let characters = FontRef::from_index(&bytes, 0).ok().map(|font| font.charmap());
    let is_drawn = |c: &char| !c.is_whitespace() && !c.is_control();
    let has = |c: char| characters.as_ref().is_some_and(|all| all.map(c).is_some());
    let mut missing = String::new();
    for c in text.chars().filter(is_drawn).filter(|c| !has(*c)) {
        if !missing.contains(c) {
            missing.push(c);
        }
    }
    missing
}

/// Lists the font files below a folder whose paths need no quoting.
fn list(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        let extension = path.extension().unwrap_or_default();
        if path.is_dir() {
            if let Some(depth) = depth.checked_sub(1) {
                list(&path, depth, found);
            }
        } else if ["ttf", "otf", "ttc"].iter().any(|known| extension == *known)
            && path.to_string_lossy().bytes().all(is_plain)
        {
            found.push(path);
        }
    }
}

/// The fonts that are attached to an input, as a section of an ASS file.
pub(crate) fn attached(input: &Input) -> String {
    let fonts = input
        .context
        .streams()
        .filter(|stream| matches!(stream.parameters().id(), codec::Id::TTF | codec::Id::OTF));
    let fonts = fonts.take(MAX_ATTACHED).map(|stream| ffi::extra_data(&stream.parameters()));
    section(fonts.filter(|font| font.len() <= MAX_ATTACHED_BYTES))
}

fn section(fonts: impl Iterator<Item = Vec<u8>>) -> String {
    let mut section = String::new();
    for (number, font) in fonts.enumerate() {
        if section.is_empty() {
            section.push_str("\n[Fonts]\n");
        }
        let _ = writeln!(section, "fontname: {number}.ttf");
        for line in font.chunks(LINE_BYTES) {
            for group in line.chunks(3) {
                encode(group, &mut section);
            }
            section.push('\n');
        }
    }
    section
}

/// Bytes of a font in a line of 80 characters.
const LINE_BYTES: usize = 60;

/// Appends up to three bytes as characters of six bits each.
fn encode(group: &[u8], to: &mut String) {
    let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
    let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
    for index in 0..=group.len().min(3) {
        let shift = 18_usize.saturating_sub(index.saturating_mul(6));
        let six = u8::try_from((bits >> shift) & 0x3f).unwrap_or(0);
        to.push(char::from(six.saturating_add(33)));
    }
}

/// A note on characters that are drawn as boxes, if there are any.
pub(crate) fn missing_characters_note(missing: &str) -> Option<String> {
    (!missing.is_empty()).then(|| {
        format!("no installed font has these characters, which are drawn as boxes: {missing}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_font_is_used_if_it_has_every_character() {
        let font = for_text("Grüße, Ἀθῆναι — Привет\n");
        assert_eq!((font.path.to_str(), font.missing.as_str()), (Some(USUAL), ""));
    }

    #[test]
    fn other_scripts_use_an_installed_font() {
        for text in ["日本", "한국", "नमस्ते", "สวัสดี"] {
            let font = for_text(text);
            assert_ne!(font.path.to_str(), Some(USUAL));
            assert_eq!(font.missing, "", "{text}: {:?}", font.path);
        }
    }

    #[test]
    fn attached_fonts_are_encoded_by_six_bits() {
        assert_eq!(section(std::iter::empty()), "");
        let font = vec![0, 0, 0, 0xff, 0xff, 0xff, 0x04];
        assert_eq!(section([font].into_iter()), "\n[Fonts]\nfontname: 0.ttf\n!!!!````\"!\n");
    }

    #[test]
    fn characters_without_any_font_are_named_once() {
        assert_eq!(for_text("a\u{10fffd}\u{10fffd}").missing, "\u{10fffd}");
    }
}
