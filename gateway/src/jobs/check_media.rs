use ffapi_domain::media::{Capabilities, MediaRequest, Operation, PlanRejection};

use crate::problem::{Kind, Problem};

/// Checks the media work itself, as far as that is possible before a byte of the input is read.
///
/// # Errors
/// For a conversion, the first error of each of its operations.
pub(crate) fn check_media(
    request: &MediaRequest,
    capabilities: &Capabilities,
) -> Result<(), Problem> {
    let Err(first) = request.check(capabilities) else { return Ok(()) };
    let mut problems = vec![problem(&first)];
    let mut rest = request.clone();
    let mut indices: Vec<usize> = match request {
        MediaRequest::Convert(convert) => (0..convert.operations.len()).collect(),
        _ => vec![],
    };
    let mut found = first;
    // Without the operation that is wrong, the others are checked.
    while let (MediaRequest::Convert(convert), Some(at)) = (&mut rest, operation(&found.pointer)) {
        if at >= convert.operations.len() {
            break;
        }
        let removed = convert.operations.remove(at);
        indices.remove(at);
        // What the others may be depends on its container and codecs.
        if matches!(removed, Operation::Transcode(_)) {
            break;
        }
        match rest.check(capabilities) {
            Err(next) => found = next,
            Ok(()) => break,
        }
        // Errors of the whole may be due to what was removed.
        let Some(index) = operation(&found.pointer).and_then(|at| indices.get(at)) else { break };
        let field = found.pointer.splitn(4, '/').nth(3).map(|field| format!("/{field}"));
        let pointer = format!("#/operations/{index}{}", field.unwrap_or_default());
        problems.push(Problem::field(Kind::Invalid, &pointer, found.detail.clone()));
    }
    Problem::all(problems).map_or(Ok(()), Err)
}

fn problem(rejection: &PlanRejection) -> Problem {
    Problem::field(Kind::Invalid, &rejection.pointer, rejection.detail.clone())
}

/// The index of the operation that a pointer is to, or into.
fn operation(pointer: &str) -> Option<usize> {
    pointer.strip_prefix("#/operations/")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jobs::create;

    #[test]
    fn every_wrong_operation_is_reported_at_its_own_index() {
        let body = json!({ "input": "upload_00000000000070008000000000000000", "output": "a.mp4",
            "operations": [
                { "type": "scale" },
                { "type": "flip", "axis": "both" },
                { "type": "fps", "fps": 100_000 },
                { "type": "transcode", "video_codec": "h264", "crf": 99 },
            ] });
        let spec = create::spec("convert", body).unwrap();
        let checked = check_media(&spec.request, &Capabilities::everything());
        let problem = checked.unwrap_err();
        let mut found: Vec<&str> = problem.pointers().collect();
        found.sort_unstable();
        assert_eq!(found, ["#/operations/0/width", "#/operations/2/fps", "#/operations/3/crf"]);
    }
}
