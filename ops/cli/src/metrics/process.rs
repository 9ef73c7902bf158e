//! What this process takes of its machine, under the names that Prometheus' own clients use.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use nix::sys::resource::{Resource, getrlimit};
use opentelemetry::{KeyValue, global};
use rustix::param::{clock_ticks_per_second, page_size};

/// Registers instruments that are read whenever metrics are.
pub(super) fn register() {
    let meter = global::meter("ffapi");
    meter
        .f64_observable_counter("process.cpu")
        .with_unit("s")
        .with_description("Processor time of this process, user and system")
        .with_callback(|observer| {
            if let Some(seconds) = Stat::read().map(|stat| stat.cpu_seconds) {
                observer.observe(seconds, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.resident_memory")
        .with_unit("By")
        .with_description("Memory of this process that is in RAM")
        .with_callback(|observer| {
            if let Some(bytes) = Stat::read().map(|stat| stat.resident_bytes) {
                observer.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.virtual_memory")
        .with_unit("By")
        .with_description("Address space of this process")
        .with_callback(|observer| {
            if let Some(bytes) = Stat::read().map(|stat| stat.virtual_bytes) {
                observer.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.threads")
        .with_description("Threads of this process")
        .with_callback(|observer| {
            if let Some(threads) = Stat::read().map(|stat| stat.threads) {
                observer.observe(threads, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.open_fds")
        .with_description("Open file descriptors of this process")
        .with_callback(|observer| {
            if let Ok(open) = fs::read_dir("/proc/self/fd") {
                // One of them is that of the listing itself.
                observer.observe((open.count() as u64).saturating_sub(1), &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.max_fds")
        .with_description("Maximum number of open file descriptors of this process")
        .with_callback(|observer| {
            if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
                observer.observe(soft, &[]);
            }
        })
        .build();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    meter
        .f64_observable_gauge("process.start_time")
        .with_unit("s")
        .with_description("When this process started, in seconds since 1970")
        .with_callback(move |observer| observer.observe(started, &[]))
        .build();
    let version = [KeyValue::new("version", env!("CARGO_PKG_VERSION"))];
    meter
        .u64_observable_gauge("ffapi.build.info")
        .with_description("Always 1, with the version of ffapi")
        .with_callback(move |observer| observer.observe(1, &version))
        .build();
}

/// The needed fields of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Field 2, the program's name, may contain any character; the others are numbered from 3.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        let ticks = field(14)?.saturating_add(field(15)?);
        let pages = field(24)?;
        Some(Self {
            cpu_seconds: seconds(ticks, clock_ticks_per_second()),
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_bytes: pages.saturating_mul(page_size() as u64),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a process does not run for a million years")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_are_parsed_whatever_the_program_is_called() {
        let stat = "42 (a) b 1) S 1 42 42 0 -1 4 1 2 3 4 700 50 9 9 39 19 7 0 5 8192 3 9 9";
        let parsed = Stat::parse(stat).unwrap();
        let expected = seconds(750, clock_ticks_per_second());
        assert!((parsed.cpu_seconds - expected).abs() < 1e-9, "{parsed:?}");
        assert_eq!((parsed.threads, parsed.virtual_bytes), (7, 8192));
        assert_eq!(parsed.resident_bytes, 3 * page_size() as u64);
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }
}
