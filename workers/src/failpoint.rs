/// Dies here as by `kill -9`, if the test that started this process asked for it by
/// `FFAPI_FAILPOINT`. Nothing in a release build.
pub(crate) fn hit(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::{env, sync::OnceLock};
        static ASKED: OnceLock<Option<String>> = OnceLock::new();
        let asked = ASKED.get_or_init(|| env::var("FFAPI_FAILPOINT").ok());
        if asked.as_deref() == Some(name) {
            let me = nix::unistd::Pid::this();
            let _ = nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
