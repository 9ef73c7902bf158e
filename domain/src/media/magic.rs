//! Detects the format of a file by its first bytes: only formats that the media engine reads, and
//! only at the offsets where each format has its magic bytes.
//!
//! The engine's list of demuxers is made from this table, so that both know the same formats.

use super::text_head::text_subtitles;

/// A file format that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Magic {
    /// Name for messages.
    pub name: &'static str,
    /// Usual file name extensions, without the dot.
    pub extensions: &'static [&'static str],
    /// FFmpeg's demuxers that read it.
    pub demuxers: &'static [&'static str],
}

/// Number of leading bytes to pass, if the file has as many.
pub const MAGIC_BYTES: usize = 1_024;

type Names = &'static [&'static str];

pub(super) const fn kind(name: &'static str, extensions: Names, demuxers: Names) -> Magic {
    Magic { name, extensions, demuxers }
}

const MP4: Magic = kind(
    "MP4 or QuickTime",
    &["mp4", "m4v", "m4a", "m4b", "mov", "qt", "3gp", "3g2", "f4v", "heic", "heif", "avif"],
    &["mov", "mp4", "m4a", "3gp", "3g2", "mj2"],
);
const MATROSKA: Magic =
    kind("Matroska or WebM", &["mkv", "mka", "mks", "webm"], &["matroska", "webm"]);
const OGG: Magic = kind("Ogg", &["ogg", "oga", "ogv", "opus", "spx"], &["ogg"]);
const MPEG_TS: Magic =
    kind("MPEG transport stream", &["ts", "m2ts", "mts", "m2t", "tp", "trp"], &["mpegts"]);
const MPEG_PS: Magic = kind("MPEG program stream", &["mpg", "mpeg", "vob", "mod"], &["mpeg"]);
const MPEG_VIDEO: Magic =
    kind("raw MPEG-1 or MPEG-2 video", &["m1v", "m2v", "mpv", "mpg", "mpeg"], &["mpegvideo"]);
const MPEG4_VIDEO: Magic = kind("raw MPEG-4 video", &["m4v"], &["m4v"]);
const MPEG_AUDIO: Magic = kind("MP3", &["mp3", "mp2", "mpa", "mp1"], &["mp3"]);
const ADTS: Magic = kind("AAC", &["aac", "adts"], &["aac"]);
/// An ID3 tag may come before any of these.
const ID3: Magic = kind(
    "audio behind an ID3 tag",
    &["mp3", "aac", "adts", "flac", "ac3", "eac3", "dts", "tta", "ape", "wv", "mpc"],
    &["mp3", "aac", "flac", "ac3", "eac3", "dts", "tta", "ape", "wv", "mpc", "mpc8"],
);
const RAW_VIDEO: Magic =
    kind("raw H.264 or HEVC", &["h264", "264", "avc", "hevc", "265"], &["h264", "hevc"]);
const TIFF: Magic = kind("TIFF", &["tif", "tiff"], &["tiff_pipe"]);
const JPEG: Magic = kind("JPEG", &["jpg", "jpeg", "jpe", "jfif", "mjpg"], &["jpeg_pipe", "mjpeg"]);
const PNG: Magic = kind("PNG", &["png", "apng"], &["png_pipe", "apng"]);
const GIF: Magic = kind("GIF", &["gif"], &["gif"]);
const AC3: Magic = kind("AC-3", &["ac3", "eac3", "ec3"], &["ac3", "eac3"]);
const DTS: Magic = kind("DTS", &["dts", "dtshd"], &["dts", "dtshd"]);
const MPC: Magic = kind("Musepack", &["mpc", "mpp"], &["mpc", "mpc8"]);
const NETPBM: Magic = kind(
    "Netpbm",
    &["pbm", "pgm", "ppm", "pnm", "pam"],
    &["pbm_pipe", "pgm_pipe", "ppm_pipe", "pam_pipe"],
);
const JPEG_2000: Magic = kind("JPEG 2000", &["jp2", "j2k", "j2c", "jpx"], &["j2k_pipe"]);
const JPEG_XL: Magic = kind("JPEG XL", &["jxl"], &["jpegxl_pipe"]);
const AMR: Magic = kind("AMR", &["amr", "awb"], &["amr"]);
const REAL: Magic = kind("RealMedia", &["rm", "rmvb", "ra"], &["rm"]);
/// It has no magic bytes, only fields with few valid values; its demuxer is given its codec.
const TARGA: Magic = kind("Targa", &["tga"], &["image2pipe"]);

/// Magic bytes at offset 0.
const MAGIC_AT_START: &[(&[u8], Magic)] = &[
    (b"\x1a\x45\xdf\xa3", MATROSKA),
    (b"FLV\x01", kind("Flash video", &["flv"], &["flv"])),
    (b"\x00\x00\x01\xba", MPEG_PS),
    (b"\x00\x00\x01\xb3", MPEG_VIDEO),
    (b"\x00\x00\x01\xb0", MPEG4_VIDEO),
    (b"\x00\x00\x01\xb5", MPEG4_VIDEO),
    (b"\x00\x00\x01\x00", kind("ICO", &["ico"], &["ico"])),
    (b"ID3", ID3),
    (b"OggS", OGG),
    (b"fLaC", kind("FLAC", &["flac"], &["flac"])),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff\xf7", kind("JPEG-LS", &["jls"], &["jpegls_pipe"])),
    (b"\xff\xd8\xff", JPEG),
    (b"BM", kind("BMP", &["bmp", "dib"], &["bmp_pipe"])),
    (b"\x06\x0e\x2b\x34", kind("MXF", &["mxf"], &["mxf"])),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", kind("Windows Media", &["wmv", "wma", "asf"], &["asf"])),
    (b"\x00\x00\x00\x01", RAW_VIDEO),
    (b"\x00\x00\x01", RAW_VIDEO),
    (b"\x0b\x77", AC3),
    (b"DKIF", kind("IVF", &["ivf"], &["ivf"])),
    (b"caff", kind("CAF", &["caf"], &["caf"])),
    (b"II*\x00", TIFF),
    (b"MM\x00*", TIFF),
    (b"nut/multimedia container\0", kind("NUT", &["nut"], &["nut"])),
    (b"BBCD", kind("Dirac", &["drc", "vc2"], &["dirac"])),
    (b"\x56\xe0", kind("LATM", &["loas", "latm"], &["loas"])),
    (b"\xb7\xd8\x00\x20\x37\x49\xda\x11", kind("Windows Television", &["wtv"], &["wtv"])),
    (b".snd", kind("Sun audio", &["au", "snd"], &["au"])),
    (b"#!AMR", AMR),
    (b"MAC ", kind("Monkey's Audio", &["ape"], &["ape"])),
    (b"FRM8", kind("DSDIFF", &["dff"], &["iff"])),
    (b"DSD ", kind("DSF", &["dsf"], &["dsf"])),
    (b"DTSHDHDR", DTS),
    (b"\x7f\xfe\x80\x01", DTS),
    (b"\xfe\x7f\x01\x80", DTS),
    (b"\x1f\xff\xe8\x00", DTS),
    (b"\xff\x1f\x00\xe8", DTS),
    (b"MP+", MPC),
    (b"MPCK", MPC),
    (b".RMF", REAL),
    (b".ra\xfd", REAL),
    (b"TTA1", kind("True Audio", &["tta"], &["tta"])),
    (b"wvpk", kind("WavPack", &["wv"], &["wv"])),
    (b"tBaK", kind("TAK", &["tak"], &["tak"])),
    (b"riff\x2e\x91\xcf\x11", kind("Wave64", &["w64"], &["w64"])),
    (b"Creative Voice File\x1a", kind("VOC", &["voc"], &["voc"])),
    (b"YUV4MPEG2 ", kind("YUV4MPEG2", &["y4m"], &["yuv4mpegpipe"])),
    (b"\x12\x00\x0a", kind("AV1 OBU", &["obu", "av1"], &["obu"])),
    (b"\x1f\x07\x00", kind("DV", &["dv", "dif"], &["dv"])),
    (b"\x9f\x07\x00", kind("DV", &["dv", "dif"], &["dv"])),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG_2000),
    (b"\xff\x4f\xff\x51", JPEG_2000),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", JPEG_XL),
    (b"\xff\x0a", JPEG_XL),
    (b"8BPS", kind("Photoshop", &["psd"], &["psd_pipe"])),
    (b"qoif", kind("QOI", &["qoi"], &["qoi_pipe"])),
    (b"\x76\x2f\x31\x01", kind("OpenEXR", &["exr"], &["exr_pipe"])),
    (b"SDPX", kind("DPX", &["dpx"], &["dpx_pipe"])),
    (b"XPDS", kind("DPX", &["dpx"], &["dpx_pipe"])),
    (b"\x01\xda", kind("SGI", &["sgi", "rgb", "bw"], &["sgi_pipe"])),
    (b"P4", NETPBM),
    (b"P5", NETPBM),
    (b"P6", NETPBM),
    (b"P7\n", NETPBM),
    (b"\x0a\x05\x01", kind("PCX", &["pcx"], &["pcx_pipe"])),
];

/// Boxes that an MP4 or QuickTime file can start with.
const BOXES: [&[u8]; 10] =
    [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"];

/// The demuxers of all formats that are played or shown, in FFmpeg's syntax.
pub fn media_demuxers() -> String {
    list(all_media())
}

/// The demuxers of all still images, in FFmpeg's syntax.
pub fn image_demuxers() -> String {
    let is_image = |magic: &Magic| {
        let is_still = |name: &&str| name.ends_with("pipe") && **name != *"yuv4mpegpipe";
        *magic == GIF || magic.demuxers.iter().any(|name| is_still(name) || **name == *"ico")
    };
    list(all_media().filter(is_image))
}

/// The formats of media; the usual one for an extension first.
fn all_media() -> impl Iterator<Item = Magic> {
    let elsewhere = [MP4, MPEG_TS, MPEG_AUDIO, ADTS, AIFF, AVI, WAV, WEBP, IFF, TRUEHD, TARGA];
    elsewhere.into_iter().chain(MAGIC_AT_START.iter().map(|(_, magic)| *magic))
}

fn list(all: impl Iterator<Item = Magic>) -> String {
    let names: std::collections::BTreeSet<&str> =
        all.flat_map(|magic| magic.demuxers.iter().copied()).collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

const TRUEHD: Magic = kind("TrueHD or MLP", &["thd", "mlp"], &["truehd", "mlp"]);
const AIFF: Magic = kind("AIFF", &["aif", "aiff", "aifc"], &["aiff"]);
const IFF: Magic = kind("IFF", &["iff", "ilbm", "lbm", "8svx"], &["iff"]);
const AVI: Magic = kind("AVI", &["avi", "divx"], &["avi"]);
const WAV: Magic = kind("WAV", &["wav", "bwf", "rf64"], &["wav"]);
const WEBP: Magic = kind("WebP", &["webp"], &["webp_pipe"]);

/// The format of a file that starts with these bytes; `None` if the engine does not read it.
pub fn magic(head: &[u8]) -> Option<Magic> {
    let at = |from: usize, len: usize| head.get(from..from.saturating_add(len));
    if at(4, 4).is_some_and(|kind| BOXES.contains(&kind)) {
        return Some(MP4);
    }
    if at(0, 4) == Some(b"FORM") {
        return match at(8, 4)? {
            b"AIFF" | b"AIFC" => Some(AIFF),
            b"ILBM" | b"PBM " | b"8SVX" => Some(IFF),
            _ => None,
        };
    }
    if at(0, 4) == Some(b"RIFF") || at(0, 4) == Some(b"RF64") {
        return match at(8, 4)? {
            b"AVI " => Some(AVI),
            b"WAVE" => Some(WAV),
            b"WEBP" => Some(WEBP),
            _ => None,
        };
    }
    if let Some(b"\xf8\x72\x6f\xba" | b"\xf8\x72\x6f\xbb") = at(4, 4) {
        return Some(TRUEHD);
    }
    let first =
        MAGIC_AT_START.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, magic)| *magic);
    first
        .or_else(|| transport_stream(head))
        .or_else(|| text_subtitles(head))
        .or_else(|| audio_frames(head))
        .or_else(|| targa(head))
}

/// True if files with the extension of this name are of a format that the engine reads.
pub fn has_known_extension(name: &str) -> bool {
    formats_of_extension(name).next().is_some()
}

/// The usual format of files with the extension of this name, if `format`, FFmpeg's name of a
/// demuxer, is another one.
pub fn unexpected_format(name: &str, format: &str) -> Option<&'static str> {
    let fits = |magic: &Magic| {
        magic.demuxers.iter().any(|demuxer| format.split(',').any(|part| part == *demuxer))
    };
    let usual = formats_of_extension(name).next()?;
    (!formats_of_extension(name).any(|magic| fits(&magic))).then_some(usual.name)
}

fn formats_of_extension(name: &str) -> impl Iterator<Item = Magic> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let extension = extension.unwrap_or_default();
    // An ID3 tag is part of other formats.
    let all = all_media().filter(|magic| *magic != ID3);
    all.chain(super::text_head::TEXT_FORMATS)
        .filter(move |magic| magic.extensions.contains(&extension.as_str()))
}

/// Kinds of files that the engine never reads, whatever their name says.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!/", "a script"),
    (b"#EXTM3U", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"ffconcat", "a list of files"),
    (b"<", "HTML or XML"),
    (b"{", "JSON"),
];

/// What a file that starts with these bytes is, if it is certainly no media file.
pub fn foreign(head: &[u8]) -> Option<&'static str> {
    if magic(head).is_some() {
        return None;
    }
    let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let head = head.get(start..)?;
    FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what)
}

/// Sync bytes at every packet start: 188 bytes apart, or 192 with a timestamp before each packet; a
/// recording may begin within a packet.
fn transport_stream(head: &[u8]) -> Option<Magic> {
    let synced = |from: usize, apart: usize| {
        let begins: Vec<_> = (from..head.len()).step_by(apart).take(4).collect();
        begins.len() > 1 && begins.iter().all(|at| head.get(*at) == Some(&0x47))
    };
    let whole = synced(0, 188) || synced(4, 192);
    let within = || (1..188).any(|from| synced(from, 188)) && head.len() >= 188 * 5;
    (head.len() >= 376 && (whole || within())).then_some(MPEG_TS)
}

/// MPEG audio or AAC frames without a header before them; recorders write zeros before the first.
fn audio_frames(head: &[u8]) -> Option<Magic> {
    let zeros = head.iter().take_while(|byte| **byte == 0).count();
    let head = head.get(zeros..)?;
    let (first, second) = (*head.first()?, *head.get(1)?);
    let (layer, version) = ((second >> 1) & 3, (second >> 3) & 3);
    let has_rate = head.get(2).is_some_and(|third| third >> 4 != 0xf && (third >> 2) & 3 != 3);
    match (first, second & 0xe0) {
        (0xff, 0xe0) if second & 0xf6 == 0xf0 => Some(ADTS),
        (0xff, 0xe0) if layer != 0 && version != 1 && has_rate => Some(MPEG_AUDIO),
        _ => None,
    }
}

/// A Targa image has no magic bytes: its header has a few fields with few valid values.
fn targa(head: &[u8]) -> Option<Magic> {
    let [_, has_map, kind, rest @ ..] = head else { return None };
    let (map, shape) = rest.split_at_checked(5)?;
    let shape: &[u8; 10] = shape.first_chunk()?;
    let size = |low: usize| Some(u16::from_le_bytes([*shape.get(low)?, *shape.get(low + 1)?]));
    let (width, height) = (size(4)?, size(6)?);
    let (depth, flags) = (shape.get(8)?, shape.get(9)?);
    let needs_map = matches!(kind, 1 | 9);
    let is_kind = matches!(kind, 1 | 2 | 3 | 9 | 10 | 11) && *has_map == u8::from(needs_map);
    let has_entries = !needs_map || matches!(map.last(), Some(15 | 16 | 24 | 32));
    let is_shape = (1..=16_384).contains(&width)
        && (1..=16_384).contains(&height)
        && matches!(depth, 8 | 15 | 16 | 24 | 32)
        && flags & 0xc0 == 0;
    (is_kind && has_entries && is_shape).then_some(TARGA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_their_magic_bytes() {
        let ts: Vec<u8> = (0..800_u32).map(|n| if n % 188 == 0 { 0x47 } else { 0 }).collect();
        for (head, name) in [
            (b"\x00\x00\x00\x20ftypisom".as_slice(), "MP4 or QuickTime"),
            (b"\x1a\x45\xdf\xa3...", "Matroska or WebM"),
            (b"RIFF\x00\x00\x00\x00AVI LIST", "AVI"),
            (b"RIFF\x00\x00\x00\x00WAVEfmt ", "WAV"),
            (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
            (b"\xff\xfb\x90\x00", "MP3"),
            (b"\xff\xf1\x50\x80", "AAC"),
            (b"OggS\x00", "Ogg"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (&ts, "MPEG transport stream"),
            (b"\xef\xbb\xbfWEBVTT\n", "WebVTT"),
            (b"1\n00:00:01,000 --> 00:00:02,000\nHi", "SubRip"),
            (b"1\r00:00:01,000 --> 00:00:02,000\rHi", "SubRip"),
            (b"\xff\xfe1\0\n\x000\x000\0:\x000\0-\0-\0>\0", "SubRip"),
            (b"ID3\x04", "audio behind an ID3 tag"),
            (b"\x00\x00\x00\xff\xfb\x90\x00", "MP3"),
            (b"\x00\x00\x01\xb3", "raw MPEG-1 or MPEG-2 video"),
            (b"wvpk....", "WavPack"),
            (b"\x00\x00\x02\0\0\0\0\0\0\0\0\0\x40\0\x20\0\x18\x20", "Targa"),
            (b"[Script Info]\n", "ASS"),
        ] {
            assert_eq!(magic(head).map(|magic| magic.name), Some(name));
        }
    }

    #[test]
    fn magic_bytes_elsewhere_are_ignored() {
        for head in [
            b"".as_slice(),
            b"MZ\x90\x00....ftyp",
            b"\x7fELF",
            b"PK\x03\x04 OggS",
            b"#!/bin/sh\nfLaC",
            b"<html>WEBVTT",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n",
            b"ffconcat version 1.0\nfile /etc/passwd",
            b"RIFF\x00\x00\x00\x00EVIL",
            b"\x00\x00\x00\x20evil",
            b"hello",
            &[0; 1_024],
        ] {
            assert_eq!(magic(head), None, "{head:?}");
        }
    }

    #[test]
    fn a_file_name_that_does_not_fit_is_noticed() {
        assert_eq!(unexpected_format("a.b.MP4", "mov,mp4,m4a,3gp,3g2,mj2"), None);
        assert_eq!(unexpected_format("a.mpg", "mpegvideo"), None);
        assert_eq!(unexpected_format("a.ac3", "mp3"), Some("AC-3"));
        assert_eq!(unexpected_format("a.docx", "mp3"), None);
        assert!(has_known_extension("a.srt") && !has_known_extension("mp4"));
    }

    #[test]
    fn other_kinds_of_files_are_recognised() {
        assert_eq!(foreign(b"PK\x03\x04 OggS"), Some("a ZIP archive"));
        assert_eq!(foreign(b"\n<html>WEBVTT"), Some("HTML or XML"));
        assert_eq!(foreign(b"<SAMI>\n<HEAD>"), None);
        assert_eq!(foreign(&[0; 1_024]), None);
    }

    #[test]
    fn no_demuxer_refers_to_other_files() {
        let all = media_demuxers();
        assert!(
            all.split(',')
                .all(|name| !["concat", "hls", "dash", "image2", "vobsub"].contains(&name))
        );
        assert!(image_demuxers().split(',').all(|name| all.split(',').any(|other| other == name)));
    }
}
