use ffmpeg_the_third::{ChannelLayout, ChannelOrder};

/// FFmpeg's name of a channel layout; the default for its number of channels if the file does not
/// state which channels it has, as most WAV files do not.
pub(crate) fn layout_name(layout: &ChannelLayout<'_>) -> String {
    if layout.order() == ChannelOrder::Unspecified {
        ChannelLayout::default_for_channels(layout.channels()).description()
    } else {
        layout.description()
    }
}
