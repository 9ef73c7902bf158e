//! Failpoints: named points in the code where a test can kill the process. They are in this crate
//! because every crate that writes depends on it.

/// If a test armed this failpoint, kills this process, or its children of a kind (a server, a media
/// child), with SIGKILL. A no-op in release builds.
///
/// A test sets `FFAPI_FAILPOINTS` to a folder and creates a file there with the failpoint's name.
/// An empty file kills this process; otherwise its text selects child processes by their command
/// line. The first process that reaches the failpoint removes the file and acts.
pub fn hit(name: impl std::fmt::Display) {
    #[cfg(debug_assertions)]
    armed::hit(&name);
    #[cfg(not(debug_assertions))]
    drop(name);
}

#[cfg(debug_assertions)]
mod armed {
    use std::{env, fmt::Display, fs, path::PathBuf, sync::OnceLock};

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();

    pub(super) fn hit(name: &dyn Display) {
        let Some(folder) = FOLDER.get_or_init(|| env::var_os("FFAPI_FAILPOINTS").map(Into::into))
        else {
            return;
        };
        let file = folder.join(name.to_string());
        let Ok(target) = fs::read_to_string(&file) else { return };
        if fs::remove_file(&file).is_err() {
            return;
        }
        if target.is_empty() {
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
        for child in children(target.trim()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
    }

    /// Ids of our child processes whose command line contains `word`.
    fn children(word: &str) -> Vec<i32> {
        let own = Pid::this().to_string();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let matches = |id: &i32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            let command_line =
                fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            parent == Some(own.as_str()) && command_line.contains(word)
        };
        ids.filter(matches).collect()
    }
}
