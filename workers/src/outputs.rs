//! Maps the file names that a media child uses to the output locations that users named.

use ffapi_commands::History;
use ffapi_domain::{
    JobId,
    job::{JobEvent, OutputFile},
    location::Location,
    media::{MediaRequest, Numbered},
};
use ffapi_storage::{Staged, StorageError, TenantStorage};

/// Stem of all file names that the child chooses for a job with a single output.
pub(crate) const OUTPUT: &str = "output";

/// The staged file of output `number`, counted from 0.
pub(crate) fn staged(job: JobId, attempt: u32, number: usize) -> Staged {
    let name = if number == 0 { OUTPUT.to_owned() } else { format!("{OUTPUT}-{number}") };
    Staged { job, attempt, name }
}

/// Removes outputs published by attempts in whose delivery the job failed or was cancelled, and what they
/// had staged. Outputs that are being delivered, or were delivered completely, are kept.
///
/// # Errors
/// When the disk fails; calling it again continues.
pub(crate) async fn withdraw_undelivered(
    storage: &TenantStorage,
    job: JobId,
    history: &History<JobEvent>,
) -> Result<(), StorageError> {
    let mut sealed: Vec<(u32, &[OutputFile])> = Vec::new();
    let mut undelivered = Vec::new();
    for event in history.iter().flat_map(|(_, decision)| &decision.events) {
        match event {
            JobEvent::OutputsSealed { attempt, outputs, .. } => sealed.push((*attempt, outputs)),
            JobEvent::Failed { .. } | JobEvent::Cancelled {} => undelivered.append(&mut sealed),
            JobEvent::Completed { .. } => sealed.clear(),
            _ => {}
        }
    }
    for (attempt, outputs) in undelivered {
        let published = outputs.iter().enumerate().filter_map(|(number, output)| {
            let location = Location::try_from(output.location.as_ref()?.clone()).ok()?;
            Some((staged(job, attempt, number), location))
        });
        let published: Vec<(Staged, Location)> = published.collect();
        storage.withdraw(&published).await?;
        if let Some((_, output)) = published.first() {
            storage.drop_staging(job, attempt, output).await;
        }
    }
    Ok(())
}

/// The location of a job's output, in whose store its files are staged; none for a job without one.
pub(crate) fn location(history: &History<JobEvent>) -> Option<&Location> {
    let mut events = history.iter().flat_map(|(_, decision)| &decision.events);
    let request = events.find_map(|event| match event {
        JobEvent::Submitted { spec } => Some(&spec.request),
        _ => None,
    });
    request?.output()?.as_ref()
}

/// Extensions of the files in an output folder: streams, their manifests and keys, images.
const FOLDER_EXTENSIONS: [&str; 12] =
    ["m3u8", "mpd", "mp4", "m4s", "ts", "vtt", "bin", "jpg", "jpeg", "png", "webp", "gif"];

/// True for a segment that names no file, but a folder: URLs are normalised by it.
fn is_special(segment: &str) -> bool {
    matches!(segment, "" | "." | "..")
}

/// The name that the child's file `made` is listed under, and its location; none if the request has
/// no such output.
pub(crate) fn destination(
    request: &MediaRequest,
    output: &Location,
    made: &str,
) -> Option<(String, Location)> {
    if request.makes_folder() {
        let (_, extension) = made.rsplit_once('.')?;
        let known = FOLDER_EXTENSIONS.contains(&extension) && !made.split('/').any(is_special);
        return known.then(|| (made.to_owned(), output.child(made)));
    }
    let own = output.file_name().filter(|name| !name.is_empty()).unwrap_or(OUTPUT);
    let rest = made.strip_prefix(OUTPUT).filter(|rest| !rest.contains('/'))?;
    let number = rest.strip_prefix('-').and_then(|rest| rest.split('.').next()?.parse().ok());
    let name = match (Numbered::parse(own), number) {
        (Some(numbered), Some(number)) => numbered.name(number),
        // Subtitles next to the output: `video.mp4` and `video.eng.vtt`.
        _ if rest.matches('.').count() > 1 => {
            rest.strip_suffix(".vtt")?;
            let stem = own.rsplit_once('.').map_or(own, |(stem, _)| stem);
            format!("{stem}{rest}")
        }
        _ => return Some((own.to_owned(), output.clone())),
    };
    let to = output.beside(&name);
    Some((name, to))
}

#[cfg(test)]
mod tests {
    use ffapi_domain::{
        Personal,
        media::{Convert, Overwrite, Probe},
    };

    use super::*;

    fn destination_of(output: &str, made: &str) -> (String, String) {
        let output: Location = output.parse().unwrap();
        let request = MediaRequest::Convert(Convert {
            input: Personal::Erased,
            output: Personal::Erased,
            operations: vec![],
            overwrite: Overwrite::Fail,
        });
        let (name, to) = destination(&request, &output, made).unwrap();
        (name, to.to_string())
    }

    #[test]
    fn the_output_gets_the_name_in_the_request() {
        let expected = ("video.mp4".to_owned(), "local://a/video.mp4".to_owned());
        assert_eq!(destination_of("a/video.mp4", "output.mp4"), expected);
    }

    #[test]
    fn numbered_images_follow_the_pattern_in_the_request() {
        let expected = ("f-007.png".to_owned(), "local://f-007.png".to_owned());
        assert_eq!(destination_of("f-%03d.png", "output-000007.png"), expected);
    }

    #[test]
    fn subtitles_are_placed_next_to_the_video() {
        let expected = ("video.eng.vtt".to_owned(), "local://a/video.eng.vtt".to_owned());
        assert_eq!(destination_of("a/video.mp4", "output.eng.vtt"), expected);
    }

    #[test]
    fn unrequested_files_have_no_destination() {
        let output: Location = "a/video.mp4".parse().unwrap();
        let request = MediaRequest::Convert(Convert {
            input: Personal::Erased,
            output: Personal::Erased,
            operations: vec![],
            overwrite: Overwrite::Fail,
        });
        for made in ["other.mp4", "output/a.mp4", "", "x/output.mp4", "output.tar.gz"] {
            assert_eq!(destination(&request, &output, made), None, "{made}");
        }
    }

    #[test]
    fn a_request_without_output_creates_no_folder() {
        assert!(!MediaRequest::Probe(Probe { input: Personal::Erased }).makes_folder());
    }
}
