//! Load, decide, append; again on conflict. Generic: no code of any one command is here.

mod cache;
mod handle;
mod turns;

pub use handle::{Caller, Commands, HandleError, Handled, History};
