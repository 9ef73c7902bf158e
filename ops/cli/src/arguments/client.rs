use std::{fmt, path::PathBuf};

use clap::Args;

/// The server to connect to, and the key.
#[derive(Args)]
pub(crate) struct Server {
    /// Its URL
    #[arg(long, env = "FFAPI_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// An API key; read from the key file if not set
    #[arg(long, env = "FFAPI_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// A file that contains the key; `admin.key` of the data folder if none is given
    #[arg(long)]
    pub(crate) key_file: Option<PathBuf>,
    /// Print JSON, as the API answers
    #[arg(long)]
    pub(crate) json: bool,
}

impl fmt::Debug for Server {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The jobs to list.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub(crate) server: Server,
    /// `queued`, `processing`, `completed`, `failed`, `cancelled`, or several separated by commas
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`, or several separated by commas
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// A preset that they used, like `web-720p` or `web-720p@1`
    #[arg(long)]
    pub(crate) preset: Option<String>,
    /// The batch that they belong to: `batch_…`
    #[arg(long)]
    pub(crate) batch: Option<String>,
    /// A label that they have, like `order=42`; several times for several
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Only those created at or after this RFC 3339 time
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// `created_at:desc` or `created_at:asc`
    #[arg(long)]
    pub(crate) sort: Option<String>,
    /// The number of jobs, up to 200
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
}

/// The job to submit.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub(crate) server: Server,
    /// A local file, which is uploaded, or a location: `upload_…`, `local://…`, `https://…`
    pub(crate) input: String,
    /// The folder for the outputs on the server; one with the input's name if none is given
    #[arg(long)]
    pub(crate) output: Option<String>,
    /// A preset, like `cmaf-auto`; `GET /presets` lists them. Without a preset and other fields, a
    /// stream is made by `cmaf-auto`, and thumbnails by `thumbnail-poster`
    #[arg(long)]
    pub(crate) preset: Option<String>,
    /// Other fields of the request, as a JSON object
    #[arg(long)]
    pub(crate) body: Option<String>,
}

/// The measurement to run.
#[derive(Debug, Args)]
pub(crate) struct Analyze {
    #[command(flatten)]
    pub(crate) submit: Submit,
    /// What to measure, separated by commas: `loudness`, `scenes`, `black`, `silence`, `complexity`,
    /// `bitrate`, `keyframes`, and with --reference `vmaf`, `psnr`, `ssim`
    #[arg(long, value_delimiter = ',')]
    pub(crate) metrics: Vec<String>,
    /// The file that it is compared with: a local one, or a location
    #[arg(long)]
    pub(crate) reference: Option<String>,
}

/// The conversion to run.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    #[command(flatten)]
    pub(crate) server: Server,
    /// The file to convert
    pub(crate) input: PathBuf,
    /// The file to write; its extension selects the container
    pub(crate) output: PathBuf,
    /// Start time, in seconds or [HH:]MM:SS
    #[arg(long)]
    pub(crate) start: Option<String>,
    /// Duration, in seconds or [HH:]MM:SS
    #[arg(long)]
    pub(crate) duration: Option<String>,
    /// Scale to this height
    #[arg(long)]
    pub(crate) height: Option<u32>,
    /// Quality: 0 (best) to 51 (smallest)
    #[arg(long)]
    pub(crate) crf: Option<u8>,
    /// `ultrafast` … `veryslow`
    #[arg(long)]
    pub(crate) preset: Option<String>,
}

/// The jobs of a batch.
#[derive(Debug, Args)]
pub(crate) struct Batch {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Local files, which are uploaded, or locations: `upload_…`, `local://…`, `https://…`
    #[arg(required = true)]
    pub(crate) inputs: Vec<String>,
    /// `convert`, `stream`, `thumbnails`, `analyze` or `probe`
    #[arg(long, default_value = "convert")]
    pub(crate) kind: String,
    /// Each output on the server, like `out/{name}.mp4`: `{name}` is the file's name without
    /// extension, `{file}` its name, `{index}` its index from 1
    #[arg(long)]
    pub(crate) output: Option<String>,
    /// A preset, like `web-720p`; `GET /presets` lists them
    #[arg(long)]
    pub(crate) preset: Option<String>,
    /// Other fields of each job, as a JSON object
    #[arg(long)]
    pub(crate) body: Option<String>,
    /// The maximum number of jobs that run at once
    #[arg(long)]
    pub(crate) max_parallel: Option<u32>,
}
