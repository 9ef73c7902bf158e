use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    time::Instant,
};

use domain::media::{
    AudioPlan, MediaFacts, Packaging, Rendition, SegmentFormat, Stream, StreamPlan, VideoCodec,
    plan_stream,
};
use ffmpeg_the_third::{Rational, encoder::Encoder};

use super::{
    Studio, Work, convert,
    encoder::{self},
    filtering::Filtering,
    flow::Flow,
    package::{self, Captioned, Cut, Packaged, PackagedKind, Segment, Segmenter},
    passes,
    script::{Look, Mix},
    tally::Tally,
    track::Track,
};
use crate::{
    MediaError,
    cues::{self, Cues},
    ffi, open,
    protocol::{MadeFile, Report, Said},
    pulse::Pulse,
    verify,
};

/// Packets that may wait for a segmenter.
const CODED: usize = 256;

/// Makes a film ready for streaming: one decode, every rendition, every manifest.
pub(super) fn stream(request: &Stream, work: &Work<'_>) -> Result<Report, MediaError> {
    let start = Instant::now();
    let pulse = Pulse::new(work.say);
    let scratch = passes::scratch();
    let studio = Studio { inputs: work.inputs, scratch, pulse: &pulse };
    let facts = studio.facts()?;
    (work.say)(Said::Facts(Box::new(super::own(&facts)?.clone())));
    let plan = plan_stream(request, Some(&facts), work.capabilities).map_err(super::refused)?;
    (work.say)(Said::PlannedStream(Box::new(plan.clone())));
    let broken = |error: std::io::Error| MediaError::internal("the output folder", error);
    fs::create_dir_all(scratch).map_err(broken)?;
    let root = work.output.parent().unwrap_or(Path::new("out")).to_owned();
    let key = if request.encrypted { Some(new_key(&root)?) } else { None };
    let tally = Tally::new(work.say, plan.duration, 1);
    tally.begin(0, "encoding");
    let press = Press { studio: &studio, facts: &facts, request, plan: &plan, root: &root, key };
    let made = press.run(&tally)?;
    let packaged: Vec<Packaged> = made.iter().map(|made| made.packaged.clone()).collect();
    check_same_cuts(&packaged)?;
    for made in &made {
        verify::rendition(&made.whole, made.frames, plan.duration, made.packaged.is_video())?;
        fs::remove_file(&made.whole).map_err(broken)?;
    }
    let captions = captions(&studio, request, &plan, &root)?;
    let mut files = listed(&packaged, request.segments);
    files.extend(write_manifests(&press, &packaged, &captions).map_err(broken)?);
    let _ = fs::remove_dir_all(scratch);
    check_files(&root, &files)?;
    tally.tell();
    Ok(Report {
        files,
        result: super::noted(&plan.notes, work.say),
        frames: made.iter().map(|made| made.frames).max().unwrap_or(0),
        elapsed: start.elapsed().as_secs_f64(),
    })
}

/// A key of the stream's own; it is in its file, and nowhere else.
fn new_key(root: &Path) -> Result<[u8; 16], MediaError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| MediaError::internal("a key", error))?;
    fs::write(root.join("key.bin"), key).map_err(|e| MediaError::internal("the key", e))?;
    Ok(key)
}

/// One stream that was made.
struct Made {
    packaged: Packaged,
    whole: PathBuf,
    frames: u64,
}

/// A stream on its way through the press.
struct Making {
    packaged: Packaged,
    whole: PathBuf,
    sent: Arc<AtomicU64>,
    segments: Arc<Mutex<Vec<Segment>>>,
}

struct Press<'a> {
    studio: &'a Studio<'a>,
    facts: &'a [MediaFacts],
    request: &'a Stream,
    plan: &'a StreamPlan,
    root: &'a Path,
    key: Option<[u8; 16]>,
}

impl<'a> Press<'a> {
    fn run(&self, tally: &Tally<'a>) -> Result<Vec<Made>, MediaError> {
        let mut flow = self.studio.flow(self.facts)?;
        let mut making = Vec::new();
        for rendition in &self.plan.renditions {
            let counts = making.is_empty().then_some(tally);
            making.push(self.picture(&mut flow, rendition, counts)?);
        }
        for (number, audio) in self.plan.audio.iter().enumerate() {
            let counts = making.is_empty().then_some(tally);
            making.push(self.sound(&mut flow, audio, number, counts)?);
        }
        flow.run(0)?;
        let made = making.into_iter().map(|making| {
            let segments = std::mem::take(
                &mut *making.segments.lock().unwrap_or_else(PoisonError::into_inner),
            );
            Made {
                packaged: Packaged { segments, ..making.packaged },
                whole: making.whole,
                frames: making.sent.load(Ordering::Relaxed),
            }
        });
        Ok(made.collect())
    }

    fn picture<'env>(
        &self,
        flow: &mut Flow<'env>,
        rendition: &Rendition,
        counts: Option<&'env Tally<'a>>,
    ) -> Result<Making, MediaError>
    where
        'a: 'env,
    {
        let video = &rendition.video;
        let planar = convert::is_planar(self.facts, video);
        let look = Look { plan: video, planar, scratch: self.studio.scratch };
        let mut filtering = flow.filter(look.script(), None)?;
        let (time_base, aspect, rate) = filtering.outcome()?;
        let parameters = super::parameters(flow, video.source)?;
        let mut canvas =
            convert::canvas(time_base, aspect, rate, video, &parameters, self.studio.scratch);
        canvas.global_header = true;
        canvas.keys_on_demand = true;
        let rate = canvas.rate;
        let encoder = encoder::open_picture(video, canvas)?;
        let codecs = package::video_codec(video.codec, &ffi::header(&encoder));
        let codecs = codecs
            .ok_or_else(|| MediaError::internal("the encoder", "does not say its profile"))?;
        let packaged = Packaged {
            folder: rendition.name.clone(),
            codecs,
            segments: vec![],
            extension: self.extension(),
            kind: PackagedKind::Video {
                width: video.width,
                height: video.height,
                rate: video.rate.as_f64(),
            },
        };
        let hevc = video.codec == VideoCodec::Hevc;
        self.track(flow, Reel { filtering, encoder, time_base, rate, hevc }, packaged, counts)
    }

    fn sound<'env>(
        &self,
        flow: &mut Flow<'env>,
        audio: &AudioPlan,
        number: usize,
        counts: Option<&'env Tally<'a>>,
    ) -> Result<Making, MediaError>
    where
        'a: 'env,
    {
        let kind = encoder::Kind::of(audio);
        let mix = Mix { plan: audio, sample_format: kind.format.name(), gain: None };
        let mut filtering = flow.filter(mix.script(), None)?;
        let encoder = encoder::open_sound(audio, true)?;
        filtering.set_frame_size(ffi::frame_size(&encoder));
        let (time_base, ..) = filtering.outcome()?;
        let title = audio.title.as_ref().or(audio.language.as_ref());
        let clean = title.map(|title| title.replace(['"', '\n', '\r'], " "));
        let packaged = Packaged {
            folder: format!("audio-{number}"),
            codecs: package::aac().to_owned(),
            segments: vec![],
            extension: self.extension(),
            kind: PackagedKind::Audio {
                language: audio.language.clone().filter(|word| is_language(word)),
                name: match clean {
                    Some(name) if number == 0 => name,
                    Some(name) => format!("{name} ({})", number.saturating_add(1)),
                    None => format!("Audio {}", number.saturating_add(1)),
                },
                channels: audio.channels,
                sample_rate: audio.sample_rate,
            },
        };
        let reel = Reel { filtering, encoder, time_base, rate: None, hevc: false };
        self.track(flow, reel, packaged, counts)
    }

    const fn extension(&self) -> &'static str {
        match self.request.segments {
            SegmentFormat::Fmp4 => "m4s",
            SegmentFormat::Ts => "ts",
        }
    }

    /// Puts a track and its segmenter into the flow.
    fn track<'env>(
        &self,
        flow: &mut Flow<'env>,
        reel: Reel,
        packaged: Packaged,
        counts: Option<&'env Tally<'a>>,
    ) -> Result<Making, MediaError>
    where
        'a: 'env,
    {
        let picture = packaged.is_video();
        let every = i64::try_from(self.plan.segment).unwrap_or(i64::MAX);
        let whole = self.studio.scratch.join(format!("{}.whole", packaged.folder));
        let Reel { filtering, encoder, time_base, rate, hevc } = reel;
        let mut segmenter = Segmenter::create(
            &encoder,
            hevc,
            (time_base, rate),
            self.request.segments,
            (&self.root.join(&packaged.folder), &whole),
            (Cut { every, at_keys: picture }, self.key),
        )?;
        let (coded, packets) = sync_channel(CODED);
        let sent = Arc::new(AtomicU64::new(0));
        let segments = Arc::new(Mutex::new(vec![]));
        let track = Track {
            filtering,
            encoder,
            time_base,
            stream: 0,
            coded: Some(coded),
            picture,
            limit: None,
            keys_every: picture.then_some(every),
            sent: Arc::clone(&sent),
            seen_by: vec![],
        };
        let pulse = self.studio.pulse;
        flow.stage(move || track.run(pulse, counts).map(|_| ()));
        let done = Arc::clone(&segments);
        flow.stage(move || {
            for coded in packets {
                if let Some(tally) = counts.filter(|_| picture) {
                    tally.frame();
                }
                segmenter.take(coded.packet)?;
            }
            *done.lock().unwrap_or_else(PoisonError::into_inner) = segmenter.finish()?;
            Ok(())
        });
        Ok(Making { packaged, whole, sent, segments })
    }
}

/// What a track is made of.
struct Reel {
    filtering: Filtering,
    encoder: Encoder,
    time_base: Rational,
    rate: Option<Rational>,
    hevc: bool,
}

fn is_language(word: &str) -> bool {
    (2..=16).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Renditions that a player can switch between have the same cuts.
fn check_same_cuts(streams: &[Packaged]) -> Result<(), MediaError> {
    let mut cuts = streams.iter().filter(|stream| stream.is_video()).map(|stream| {
        stream.segments.iter().map(|segment| segment.duration.to_bits()).collect::<Vec<_>>()
    });
    let first = cuts.next();
    if cuts.all(|cut| Some(cut) == first) {
        return Ok(());
    }
    let code = domain::job::FailureCode::VerificationFailed;
    Err(MediaError::new(code, "the renditions are not cut at the same pictures"))
}

fn captions(
    studio: &Studio<'_>,
    request: &Stream,
    plan: &StreamPlan,
    root: &Path,
) -> Result<Vec<(Captioned, String)>, MediaError> {
    let mut made = Vec::new();
    let all = plan.captions.iter().zip(&request.captions).enumerate();
    for (number, (planned, caption)) in all {
        let file = studio.inputs.get(planned.source.input);
        let (path, _) =
            file.ok_or_else(|| MediaError::internal("the plan", "has no such input"))?;
        let cues = Cues::read(open::open(path, cues::role(&planned.source))?, &planned.source)?;
        let folder = format!("captions-{number}");
        let failed = |error| MediaError::internal("the captions", error);
        fs::create_dir_all(root.join(&folder)).map_err(failed)?;
        // In a transport stream everything is a second late.
        let late = if request.segments == SegmentFormat::Ts { 90_000 } else { 0 };
        let map = format!("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{late}\n");
        let text = cues.to_webvtt().replacen("WEBVTT\n", &map, 1);
        made.push((
            Captioned {
                folder,
                language: caption.language.clone(),
                name: caption.name.clone().unwrap_or_else(|| caption.language.clone()),
            },
            text,
        ));
    }
    Ok(made)
}

/// Every segment, with what the whole stream is told by its first file.
fn listed(streams: &[Packaged], format: SegmentFormat) -> Vec<MadeFile> {
    let mut files = Vec::new();
    for stream in streams {
        if format == SegmentFormat::Fmp4 {
            files.push(MadeFile::named(format!("{}/init.mp4", stream.folder), None));
        }
        for (number, segment) in stream.segments.iter().enumerate() {
            let name = format!("{}/{}", stream.folder, stream.file(number));
            files.push(MadeFile::named(name, Some(segment.duration)));
        }
    }
    files
}

/// Manifests come last: whoever sees one sees everything it names.
fn write_manifests(
    press: &Press<'_>,
    streams: &[Packaged],
    captions: &[(Captioned, String)],
) -> std::io::Result<Vec<MadeFile>> {
    let mut files = Vec::new();
    let lasts = streams.iter().map(Packaged::lasts).fold(0.0, f64::max);
    let mut write = |name: String, text: &str| {
        fs::write(press.root.join(&name), text)?;
        files.push(MadeFile::named(name, None));
        Ok::<(), std::io::Error>(())
    };
    let packaging = press.request.packaging;
    let encrypted = press.key.is_some();
    let hls = matches!(packaging, Packaging::Hls | Packaging::Cmaf);
    let iframes = hls && !encrypted && press.request.segments == SegmentFormat::Fmp4;
    let told: Vec<Captioned> = captions.iter().map(|(told, _)| told.clone()).collect();
    for (caption, text) in captions {
        write(format!("{}/captions.vtt", caption.folder), text)?;
    }
    if hls {
        for (caption, _) in captions {
            let text = package::captions_playlist(lasts);
            write(format!("{}/index.m3u8", caption.folder), &text)?;
        }
        for stream in streams {
            let name = format!("{}/index.m3u8", stream.folder);
            write(name, &package::media(stream, encrypted))?;
            if iframes && stream.is_video() {
                write(format!("{}/iframes.m3u8", stream.folder), &package::iframes(stream))?;
            }
        }
    }
    if matches!(packaging, Packaging::Dash | Packaging::Cmaf) {
        write("manifest.mpd".to_owned(), &package::manifest(streams, &told))?;
    }
    if hls {
        write("master.m3u8".to_owned(), &package::master(streams, &told, iframes))?;
    }
    if encrypted {
        files.insert(0, MadeFile::named("key.bin".to_owned(), None));
    }
    Ok(files)
}

/// Every file that is listed is there, and has something in it.
fn check_files(root: &Path, files: &[MadeFile]) -> Result<(), MediaError> {
    for file in files {
        let there = root.join(&file.name).metadata().is_ok_and(|meta| meta.len() > 0);
        if !there {
            let code = domain::job::FailureCode::VerificationFailed;
            return Err(MediaError::new(code, format!("{} was not made", file.name)));
        }
    }
    Ok(())
}
