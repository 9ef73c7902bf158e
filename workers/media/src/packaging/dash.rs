//! DASH manifests (ISO/IEC 23009-1).

use std::fmt::Write as _;

use ffapi_domain::media::Hdr;

use super::{CaptionTrack, Packaged, PackagedKind, segment::SingleFileHead};
use crate::units::micros;

/// The manifest of all streams and captions.
pub(crate) fn manifest(streams: &[Packaged], captions: &[CaptionTrack]) -> String {
    let duration = streams.iter().map(Packaged::duration).fold(0.0, f64::max);
    let longest = streams.iter().flat_map(|stream| &stream.segments);
    let longest = longest.map(|segment| segment.duration).fold(0.0, f64::max);
    let is_single_file = streams.iter().any(Packaged::is_single_file);
    let profile = if is_single_file { "isoff-on-demand" } else { "isoff-live" };
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:{profile}:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT{duration:.3}S\" minBufferTime=\"PT{:.1}S\">\n\
         \x20 <Period id=\"0\" start=\"PT0S\">\n",
        longest.max(1.0)
    );
    let mut sets = 0_u32;
    let video: Vec<&Packaged> = streams.iter().filter(|stream| stream.is_video()).collect();
    if !video.is_empty() {
        open(
            &mut text,
            &mut sets,
            "contentType=\"video\" segmentAlignment=\"true\" startWithSAP=\"1\"",
        );
        for stream in video {
            write_representation(&mut text, stream);
        }
        text.push_str("    </AdaptationSet>\n");
    }
    // Players that find no main track choose by rules of their own.
    let mut role = "main";
    for stream in streams {
        let PackagedKind::Audio { language, .. } = &stream.kind else { continue };
        let language = language.as_ref().map(|tag| format!(" lang=\"{tag}\""));
        let attributes = format!(
            "contentType=\"audio\" segmentAlignment=\"true\" startWithSAP=\"1\"{}",
            language.unwrap_or_default()
        );
        open(&mut text, &mut sets, &attributes);
        let _ = writeln!(
            text,
            "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"{role}\"/>"
        );
        role = "alternate";
        write_representation(&mut text, stream);
        text.push_str("    </AdaptationSet>\n");
    }
    for caption in captions {
        let attributes =
            format!("contentType=\"text\" mimeType=\"text/vtt\" lang=\"{}\"", caption.language);
        open(&mut text, &mut sets, &attributes);
        let _ = writeln!(
            text,
            "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"caption\"/>\n\
             \x20     <Representation id=\"{0}\" bandwidth=\"1000\">\n\
             \x20       <BaseURL>{0}/captions.vtt</BaseURL>\n\
             \x20     </Representation>\n\
             \x20   </AdaptationSet>",
            caption.folder
        );
    }
    text.push_str("  </Period>\n</MPD>\n");
    text
}

fn open(text: &mut String, sets: &mut u32, attributes: &str) {
    let _ = writeln!(text, "    <AdaptationSet id=\"{sets}\" {attributes}>");
    *sets = sets.saturating_add(1);
}

/// The colour properties of an HDR stream, by their code points in ISO/IEC 23091-2.
fn transfer(hdr: Hdr) -> String {
    let curve = match hdr {
        Hdr::Pq => 16,
        Hdr::Hlg => 18,
    };
    [("ColourPrimaries", 9), ("TransferCharacteristics", curve), ("MatrixCoefficients", 9)]
        .map(|(name, number)| {
            format!(
                "        <SupplementalProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:{name}\" \
                 value=\"{number}\"/>\n"
            )
        })
        .concat()
}

fn write_representation(text: &mut String, stream: &Packaged) {
    let (kind, details, more) = match &stream.kind {
        PackagedKind::Video { width, height, rate, hdr } => (
            "video/mp4",
            format!(" width=\"{width}\" height=\"{height}\" frameRate=\"{}\"", fraction(*rate)),
            hdr.map(transfer).unwrap_or_default(),
        ),
        PackagedKind::Audio { channels, sample_rate, .. } => (
            "audio/mp4",
            format!(" audioSamplingRate=\"{sample_rate}\""),
            format!(
                "        <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:\
                 audio_channel_configuration:2011\" value=\"{channels}\"/>\n"
            ),
        ),
    };
    let _ = write!(
        text,
        "      <Representation id=\"{0}\" mimeType=\"{kind}\" codecs=\"{1}\" \
         bandwidth=\"{2}\"{details}>\n{more}",
        stream.folder,
        stream.codecs,
        stream.peak(),
    );
    if stream.is_single_file() {
        write_single_file(text, stream);
    } else {
        write_template(text, stream);
    }
    text.push_str("      </Representation>\n");
}

/// The file of all segments, and where its index is.
fn write_single_file(text: &mut String, stream: &Packaged) {
    let SingleFileHead { init, index } = stream.head;
    let _ = write!(
        text,
        "        <BaseURL>{}/{}</BaseURL>\n\
         \x20       <SegmentBase indexRange=\"{init}-{}\">\n\
         \x20         <Initialization range=\"0-{}\"/>\n\
         \x20       </SegmentBase>\n",
        stream.folder,
        stream.file(0),
        init.saturating_add(index).saturating_sub(1),
        init.saturating_sub(1),
    );
}

/// The files of the segments by their numbers, and their durations.
fn write_template(text: &mut String, stream: &Packaged) {
    let _ = write!(
        text,
        "        <SegmentTemplate timescale=\"1000000\" startNumber=\"1\" \
         initialization=\"{0}/init.mp4\" media=\"{0}/$Number%05d$.m4s\">\n\
         \x20         <SegmentTimeline>\n",
        stream.folder,
    );
    let mut at = 0_u64;
    for segment in &stream.segments {
        let duration = micros(segment.duration);
        let _ = writeln!(text, "            <S t=\"{at}\" d=\"{duration}\"/>");
        at = at.saturating_add(duration);
    }
    text.push_str("          </SegmentTimeline>\n        </SegmentTemplate>\n");
}

/// A frame rate as DASH states it: an integer, or a fraction over 1001.
fn fraction(rate: f64) -> String {
    if (rate - rate.round()).abs() < 1e-6 {
        format!("{rate:.0}")
    } else {
        format!("{:.0}/1001", rate * 1001.0)
    }
}
