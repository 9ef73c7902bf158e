//! Codec strings by RFC 6381, from the parameter sets of a stream.

use std::fmt::Write as _;

use ffapi_domain::media::VideoCodec;

/// AAC-LC.
pub(crate) const fn aac() -> &'static str {
    "mp4a.40.2"
}

/// The codec string of a video, from the header (extradata) of its encoder.
pub(crate) fn video(codec: VideoCodec, header: &[u8]) -> Option<String> {
    match codec {
        VideoCodec::H264 => {
            let set = nal_units(header)
                .into_iter()
                .find(|unit| unit.first().map(|b| b & 0x1f) == Some(7));
            let set = set?;
            let (profile, constraints, level) = (set.get(1)?, set.get(2)?, set.get(3)?);
            Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
        }
        VideoCodec::Hevc => {
            let set = nal_units(header);
            let set = set.iter().find(|unit| unit.first().map(|b| b >> 1 & 0x3f) == Some(33))?;
            hevc(&unescaped(set))
        }
        _ => None,
    }
}

/// The NAL units between start codes.
fn nal_units(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    for (at, code) in bytes.windows(3).enumerate() {
        if code == [0, 0, 1] {
            starts.push(at);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let unit = |(start, end): (&usize, usize)| bytes.get(start.checked_add(3)?..end);
    starts.iter().zip(ends).filter_map(unit).collect()
}

/// Removes the emulation prevention bytes.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if *byte == 3 && out.ends_with(&[0, 0]) {
            continue;
        }
        out.push(*byte);
    }
    out
}

/// The codec string from a sequence parameter set: two bytes of header, one of identifiers, then
/// profile, tier and level.
fn hevc(set: &[u8]) -> Option<String> {
    let first = *set.get(3)?;
    let (space, tier, profile) = (first >> 6, first >> 5 & 1, first & 0x1f);
    let compatible = u32::from_be_bytes(set.get(4..8)?.try_into().ok()?).reverse_bits();
    let constraints = set.get(8..14)?;
    let level = set.get(14)?;
    let space = match space {
        1 => "A",
        2 => "B",
        3 => "C",
        _ => "",
    };
    let tier = if tier == 0 { 'L' } else { 'H' };
    let mut name = format!("hvc1.{space}{profile}.{compatible:X}.{tier}{level}");
    let last = constraints.iter().rposition(|byte| *byte != 0);
    for byte in last.and_then(|last| constraints.get(..=last)).unwrap_or_default() {
        let _ = write!(name, ".{byte:X}");
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_codec_string_has_profile_constraints_and_level() {
        let header = [0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1f, 0xac, 0, 0, 1, 0x68, 0xeb];
        assert_eq!(video(VideoCodec::H264, &header).unwrap(), "avc1.64001f");
        assert_eq!(video(VideoCodec::H264, &[0, 0, 1, 0x68]), None);
    }

    #[test]
    fn hevc_codec_string_has_profile_tier_and_level() {
        let set = [0x42, 0x01, 0x01, 0x01, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x5d, 0xa0];
        let header = [&[0, 0, 0, 1][..], &set].concat();
        assert_eq!(video(VideoCodec::Hevc, &header).unwrap(), "hvc1.1.6.L93.90");
    }
}
