//! Named places where a test can have a process die: the one room that all others who write
//! import is this one.

/// Dies here as by `kill -9`, or kills a server or media child beside us, if a test asked for it.
/// Nothing in a release build.
///
/// A test names a folder in `FFAPI_FAILPOINTS` and puts a file called like the place into it; the
/// file says whom to kill, nothing for this very process. Whoever comes by first takes the file.
pub fn hit(place: impl std::fmt::Display) {
    #[cfg(debug_assertions)]
    armed::hit(&place);
    #[cfg(not(debug_assertions))]
    drop(place);
}

#[cfg(debug_assertions)]
mod armed {
    use std::{env, fmt::Display, fs, path::PathBuf, sync::OnceLock};

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();

    pub(super) fn hit(place: &dyn Display) {
        let Some(folder) = FOLDER.get_or_init(|| env::var_os("FFAPI_FAILPOINTS").map(Into::into))
        else {
            return;
        };
        let file = folder.join(place.to_string());
        let Ok(whom) = fs::read_to_string(&file) else { return };
        if fs::remove_file(&file).is_err() {
            return;
        }
        if whom.is_empty() {
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
        for child in children(whom.trim()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
    }

    /// Our children whose command line mentions a word.
    fn children(word: &str) -> Vec<i32> {
        let own = Pid::this().to_string();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |id: &i32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            parent == Some(own.as_str()) && line.contains(word)
        };
        ids.filter(ours).collect()
    }
}
