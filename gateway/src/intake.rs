//! What every submission and retry of jobs takes before its command: queue slots, a share of the
//! account's hourly limits, and the names of its outputs. What a rejected one took is given back.

mod admission;
mod closed_account;
mod outputs;

pub(crate) use self::{
    admission::{Admission, Load},
    closed_account::undo_if_closed,
    outputs::{BATCH_SUBMIT_TIME, OutputClaim, SUBMIT_TIME, reserve_all},
};
