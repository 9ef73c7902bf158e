//! What every kind of store guarantees, tried on each: objects are stored completely or not at all,
//! are invisible until they are published, and are never overwritten by accident.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guarantees;
mod stores;

use ffapi_storage::Storage;

use self::guarantees::{Store, outputs, reads, staging, uploads};

/// Tries every guarantee on a store, each as a tenant of its own.
async fn keeps_every_guarantee(storage: &Storage) {
    let mut tenants = 0..;
    let mut next = || Store::new(storage, tenants.next().unwrap_or_default());
    uploads::an_upload_is_stored_completely_with_its_hash(next()).await;
    uploads::a_too_large_or_interrupted_upload_leaves_nothing(next()).await;
    uploads::an_upload_moves_to_another_id(next()).await;
    uploads::old_uploads_are_listed(next()).await;
    uploads::parts_that_do_not_follow_are_removed_by_the_next_request(next()).await;
    outputs::a_staged_file_is_invisible_until_it_is_published(next()).await;
    outputs::publishing_is_idempotent(next()).await;
    outputs::another_object_is_kept_unless_overwriting_is_requested(next()).await;
    outputs::a_published_object_is_withdrawn_while_it_is_the_staged_one(next()).await;
    outputs::equal_bytes_of_another_attempt_are_a_different_object(next()).await;
    outputs::an_output_that_was_written_anew_is_not_removed(next()).await;
    staging::dropped_staging_cannot_be_published(next()).await;
    staging::a_file_of_several_parts_is_published_byte_by_byte(next()).await;
    staging::an_empty_file_is_published(next()).await;
    staging::a_second_try_of_an_attempt_replaces_the_first(next()).await;
    staging::old_staged_jobs_are_listed(next()).await;
    reads::a_range_is_read(next()).await;
    reads::an_object_that_is_replaced_is_not_mixed_with_the_new_one(next()).await;
    reads::what_does_not_exist_is_not_found(next()).await;
    reads::erasure_removes_everything_of_one_tenant_only(next()).await;
}
