//! Completions for shells, and man pages.

use std::{io, path::Path};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;

/// Prints completions for a shell.
pub(crate) fn completions(shell: Shell) {
    clap_complete::generate(shell, &mut Arguments::command(), "ffapi", &mut io::stdout());
}

/// Writes a man page for each command into a folder, which is created if it does not exist.
pub(crate) fn man(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)?;
    Ok(())
}
