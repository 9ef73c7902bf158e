use poem_openapi::Object;

/// URLs of a completed job's outputs. For readers with an API key they have a token in
/// their path: browsers and players open them without further credentials, for a day at least.
#[derive(Debug, Default, Object)]
#[oai(skip_serializing_if_is_none)]
#[expect(clippy::struct_field_names, reason = "the names in JSON, beside other fields of a job")]
pub(crate) struct JobUrls {
    /// What a player opens: the HLS playlist, the DASH manifest or the media file.
    pub(super) playback_url: Option<String>,
    /// The DASH manifest, if there is one.
    pub(super) dash_url: Option<String>,
    /// An image to be shown before playback starts.
    pub(super) poster_url: Option<String>,
    /// The WebVTT index of the preview images along the timeline.
    pub(super) sprite_url: Option<String>,
    /// The file, to be saved, if the job has a single one.
    pub(super) download_url: Option<String>,
}
