//! A webhook endpoint: where a tenant wants to be told, of what, and until when.

mod callback;
mod change;
mod decide;
mod event;
mod public;
mod ring;
#[cfg(test)]
mod tests;
mod view;

pub use callback::{Callback, wants};
pub use change::HookChange;
pub use decide::{Hook, HookCommand, HookRejection, HookState};
pub use event::{DisabledBy, HookEvent, HookTerms};
pub use public::public;
pub use ring::{
    HookCensus, HookClaims, HookRing, HookRingCommand, HookRingEvent, HookRingRejection,
};
pub use view::HookView;
