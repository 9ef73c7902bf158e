use ffapi_domain::media::{MediaFacts, Preset, VideoCodec, VideoFilter, VideoPlan};

/// What becomes of the frame types of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceTypes {
    /// P and B frames keep their type, where it is usable.
    Reuse,
    /// The encoder decides.
    Ignore,
}

impl SourceTypes {
    /// An encoder may reuse the frame types of its source if it would decide them by the same method
    /// as the source's encoder, and gets the same frames.
    pub(crate) fn of(video: &VideoPlan, facts: &[MediaFacts]) -> Self {
        let source = facts.get(video.source.input).and_then(MediaFacts::video);
        let same_method = matches!(
            video.preset,
            Preset::Superfast | Preset::Veryfast | Preset::Faster | Preset::Fast | Preset::Medium
        );
        let same_frames = source.is_some_and(|(_, source)| source.frame_rate == video.rate)
            && !video.filters.iter().any(|filter| matches!(filter, VideoFilter::Speed(_)));
        let reusable = video.codec == VideoCodec::H264
            && video.assigned.is_none()
            && video.profile.as_deref() != Some("baseline")
            && !video.quality.two_pass
            && same_method
            && same_frames;
        if reusable { Self::Reuse } else { Self::Ignore }
    }
}

/// True if a log line only reports that a frame could not have the type that its source had:
/// nothing that a user requested.
pub(crate) fn is_frame_type_warning(line: &str) -> bool {
    line.contains("] forced frame type (") || line.contains("] specified frame type (")
}
