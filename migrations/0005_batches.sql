-- Read model `batch`: one row a batch; its counts are those of its jobs in `job_list`.
CREATE TABLE batch (
    id       text   PRIMARY KEY,
    tenant   text   NOT NULL,
    sequence bigint NOT NULL,  -- of the newest message folded in
    doc      jsonb  NOT NULL   -- the fold itself
);
CREATE INDEX batch_by_tenant ON batch (tenant, id DESC);

-- Jobs of a batch, found and counted by it.
ALTER TABLE job_list ADD COLUMN batch_id text;
CREATE INDEX job_list_by_batch ON job_list (batch_id, status) WHERE batch_id IS NOT NULL;
