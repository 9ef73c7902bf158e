-- Rows of the trail stand at places that the log has, and no message has a sequence below 1. `NOT VALID`:
-- what stands there already is evidence, and `ffapi audit verify` names it.
ALTER TABLE archive
    ADD CONSTRAINT archive_in_log CHECK (sequence > 0 AND octet_length(hash) = 32) NOT VALID;
ALTER TABLE audit_note
    ADD CONSTRAINT audit_note_in_log CHECK (sequence > 0 AND octet_length(hash) = 32) NOT VALID;
ALTER TABLE audit_decision
    ADD CONSTRAINT audit_decision_in_log CHECK (sequence > 0 AND index >= 0) NOT VALID;
ALTER TABLE projection_checkpoint
    ADD CONSTRAINT projection_checkpoint_in_log CHECK (sequence >= 0) NOT VALID;
ALTER TABLE projection_parked
    ADD CONSTRAINT projection_parked_in_log CHECK (sequence > 0) NOT VALID;

-- Why a message was parked was told in the database's own words, which quote what it refused: personal
-- data, that an erasure does not find. From now on only the kind of trouble is written down.
UPDATE projection_parked SET error = 'parked by an earlier version';
