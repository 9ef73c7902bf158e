use std::{fs, path::PathBuf};

/// The `/proc` folders of a process's threads, the first thread's first. The kernel shows a thread that has
/// ended without memory and descriptors, and a process that was taken over can end its first thread
/// alone: what the others share is then found under theirs only.
pub(super) fn tasks(process: u32) -> impl Iterator<Item = PathBuf> {
    let first = PathBuf::from(format!("/proc/{process}"));
    let folder = first.join("task");
    // As a rule the first one is enough.
    let others = std::iter::once_with(move || fs::read_dir(folder).into_iter().flatten()).flatten();
    std::iter::once(first).chain(others.flatten().map(|entry| entry.path()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    /// A process of two threads, the first of which has ended. Its standard input is `input`.
    pub(in super::super) fn without_its_first_thread(input: Stdio) -> Child {
        let script = "import ctypes, os, platform, threading\n\
            exit = {'x86_64': 60, 'aarch64': 93}[platform.machine()]\n\
            main = threading.get_native_id()\n\
            def run():\n\
            \x20   is_zombie = lambda: ') Z ' in open(f'/proc/self/task/{main}/stat').read()\n\
            \x20   while not is_zombie(): pass\n\
            \x20   print('ended', flush=True)\n\
            \x20   threading.Event().wait()\n\
            threading.Thread(target=run).start()\n\
            ctypes.CDLL(None).syscall(exit, 0)\n";
        let mut command = Command::new("python3");
        command.args(["-c", script]).stdin(input).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ended\n");
        child
    }
}
