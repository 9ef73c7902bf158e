//! Load, decide, append; again on conflict. Generic: no code of any one command is here.

mod cache;
mod handle;

pub use handle::{Caller, Commands, HandleError, Handled, History};
