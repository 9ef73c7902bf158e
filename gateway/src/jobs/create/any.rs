use ffapi_domain::{job::JobSpec, media::Capabilities};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    analyze::AnalyzeBody, convert::ConvertBody, options::Create, probe::ProbeBody,
    stream::StreamBody, thumbnails::ThumbnailsBody,
};
use crate::{
    body::{every_error, parse},
    jobs::check_media::check_media,
    problem::{Kind, Problem},
};

/// The job that a body of this kind describes. Whether its media work is possible is not checked.
///
/// # Errors
/// Every wrong field.
pub(crate) fn spec(kind: &str, fields: Value) -> Result<JobSpec, Problem> {
    of_kind(kind, fields, &|_| Ok(()))
}

/// The same, if workers with these capabilities can do its media work.
///
/// # Errors
/// Every wrong field.
pub(crate) fn checked_spec(
    kind: &str,
    fields: Value,
    capabilities: &Capabilities,
) -> Result<JobSpec, Problem> {
    of_kind(kind, fields, &|spec| check_media(&spec.request, capabilities))
}

/// A check of a spec that was parsed.
type Check<'c> = &'c dyn Fn(&JobSpec) -> Result<(), Problem>;

fn of_kind(kind: &str, fields: Value, check: Check<'_>) -> Result<JobSpec, Problem> {
    match kind {
        "convert" => of_body::<ConvertBody>(fields, check),
        "stream" => of_body::<StreamBody>(fields, check),
        "thumbnails" => of_body::<ThumbnailsBody>(fields, check),
        "analyze" => of_body::<AnalyzeBody>(fields, check),
        "probe" => of_body::<ProbeBody>(fields, check),
        _ => {
            let detail = "`kind` is `convert`, `stream`, `thumbnails`, `analyze` or `probe`";
            Err(Problem::field(Kind::Invalid, "#/kind", detail))
        }
    }
}

fn of_body<B: Create + DeserializeOwned>(
    fields: Value,
    check: Check<'_>,
) -> Result<JobSpec, Problem> {
    every_error(fields, "", |fields| {
        let spec = parse::<B>(fields, "")?.spec()?;
        check(&spec).map(|()| spec)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INPUT: &str = "upload_00000000000070008000000000000000";

    /// The pointers of all errors.
    fn errors(kind: &str, body: Value) -> Vec<String> {
        let checked = checked_spec(kind, body, &Capabilities::everything());
        let mut found: Vec<_> = checked.unwrap_err().pointers().map(str::to_owned).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn every_wrong_operation_is_reported() {
        let operations = json!([
            { "type": "scale" },
            { "type": "flip", "axis": "both" },
            { "type": "fps", "fps": 100_000 },
            { "type": "transcode", "video_codec": "h264", "crf": 99 },
        ]);
        let body = json!({ "input": INPUT, "output": "a.mp4", "operations": operations });
        let expected = ["#/operations/0/width", "#/operations/2/fps", "#/operations/3/crf"];
        assert_eq!(errors("convert", body), expected);
    }

    #[test]
    fn wrong_fields_and_impossible_media_work_are_reported_together() {
        let variants = json!([{ "name": "a", "height": 7 }, { "name": "b", "crf": 99 }]);
        let body = json!({
            "input": INPUT, "output": "a", "type": "hls", "variants": variants,
            "segment_duration": 99, "keep": 1, "sprite": { "columns": 0 },
        });
        let expected = [
            "#/keep",
            "#/segment_duration",
            "#/sprite/columns",
            "#/variants/0/height",
            "#/variants/1/crf",
            "#/variants/1/height",
        ];
        assert_eq!(errors("stream", body), expected);
    }
}
