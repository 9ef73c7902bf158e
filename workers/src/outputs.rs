//! What a media child calls its files, and what users called them.

use ffapi_commands::History;
use ffapi_domain::{
    JobId,
    job::{JobEvent, OutputFile},
    location::Location,
    media::{MediaRequest, Numbered},
};
use ffapi_storage::{Staged, Storage, StorageError};

/// What every name begins with that the child chooses for a job of one output.
pub(crate) const OUTPUT: &str = "output";

/// The n-th output while it is staged.
pub(crate) fn staged(job: JobId, attempt: u32, number: usize) -> Staged {
    let name = if number == 0 { OUTPUT.to_owned() } else { format!("{OUTPUT}-{number}") };
    Staged { job, attempt, name }
}

/// Takes back what was published by attempts in whose delivery the job failed, and drops what they had
/// staged. What is being delivered, or was, stays.
///
/// # Errors
/// When the disk fails; then it is all to be done again.
pub(crate) async fn withdraw_failed(
    storage: &Storage,
    job: JobId,
    history: &History<JobEvent>,
) -> Result<(), StorageError> {
    let mut sealed: Vec<(u32, &[OutputFile])> = Vec::new();
    let mut failed = Vec::new();
    for event in history.iter().flat_map(|(_, decision)| &decision.events) {
        match event {
            JobEvent::OutputsSealed { attempt, outputs, .. } => sealed.push((*attempt, outputs)),
            JobEvent::Failed { .. } => failed.append(&mut sealed),
            JobEvent::Completed { .. } => sealed.clear(),
            _ => {}
        }
    }
    for (attempt, outputs) in failed {
        let published = outputs.iter().enumerate().filter_map(|(number, output)| {
            let location = output.location.as_ref()?.parse::<Location>().ok()?;
            Some((staged(job, attempt, number), location))
        });
        storage.withdraw(published.collect()).await?;
        storage.drop_staging(job, attempt).await;
    }
    Ok(())
}

/// What a folder of outputs holds: streams, their manifests and keys, pictures.
const IN_FOLDERS: [&str; 12] =
    ["m3u8", "mpd", "mp4", "m4s", "ts", "vtt", "bin", "jpg", "jpeg", "png", "webp", "gif"];

/// The name that an output is listed under, and where it belongs; none if the request makes no such
/// file.
pub(crate) fn place(
    request: &MediaRequest,
    output: &Location,
    made: &str,
) -> Option<(String, Location)> {
    if request.makes_folder() {
        let (_, extension) = made.rsplit_once('.')?;
        let known = IN_FOLDERS.contains(&extension);
        return known.then(|| (made.to_owned(), output.child(made)));
    }
    let own = output.file_name().unwrap_or(OUTPUT);
    let rest = made.strip_prefix(OUTPUT).filter(|rest| !rest.contains('/'))?;
    let number = rest.strip_prefix('-').and_then(|rest| rest.split('.').next()?.parse().ok());
    let name = match (Numbered::parse(own), number) {
        (Some(numbered), Some(number)) => numbered.name(number),
        // Subtitles beside the output: `film.mp4` and `film.eng.vtt`.
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

    fn places(output: &str, made: &str) -> (String, String) {
        let output: Location = output.parse().unwrap();
        let request = MediaRequest::Convert(Convert {
            input: Personal::Erased,
            output: Personal::Erased,
            operations: vec![],
            overwrite: Overwrite::Fail,
        });
        let (name, to) = place(&request, &output, made).unwrap();
        (name, to.to_string())
    }

    #[test]
    fn the_output_is_called_what_the_user_called_it() {
        let expected = ("film.mp4".to_owned(), "local://a/film.mp4".to_owned());
        assert_eq!(places("a/film.mp4", "output.mp4"), expected);
    }

    #[test]
    fn numbered_pictures_take_the_users_pattern() {
        let expected = ("f-007.png".to_owned(), "local://f-007.png".to_owned());
        assert_eq!(places("f-%03d.png", "output-000007.png"), expected);
    }

    #[test]
    fn subtitles_stand_beside_the_film() {
        let expected = ("film.eng.vtt".to_owned(), "local://a/film.eng.vtt".to_owned());
        assert_eq!(places("a/film.mp4", "output.eng.vtt"), expected);
    }

    #[test]
    fn what_no_request_asks_for_has_no_place() {
        let output: Location = "a/film.mp4".parse().unwrap();
        let request = MediaRequest::Convert(Convert {
            input: Personal::Erased,
            output: Personal::Erased,
            operations: vec![],
            overwrite: Overwrite::Fail,
        });
        for made in ["other.mp4", "output/a.mp4", "", "x/output.mp4", "output.tar.gz"] {
            assert_eq!(place(&request, &output, made), None, "{made}");
        }
    }

    #[test]
    fn a_request_without_output_makes_no_folder() {
        assert!(!MediaRequest::Probe(Probe { input: Personal::Erased }).makes_folder());
    }
}
