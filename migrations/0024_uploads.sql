-- Read model `upload`: one row an upload that is stored.
CREATE TABLE upload (
    id         text   PRIMARY KEY,
    tenant     text   NOT NULL,
    sequence   bigint NOT NULL,  -- of the event that completed it
    doc        jsonb  NOT NULL
);
CREATE INDEX upload_by_tenant ON upload (tenant, id DESC);

-- Jobs that say themselves until when their outputs are kept.
CREATE INDEX job_detail_kept_until ON job_detail ((doc #>> '{summary,keep_until}'))
    WHERE doc #>> '{summary,status}' = 'completed'
      AND doc #>> '{summary,outputs_expired_at}' IS NULL
      AND doc #> '{summary,keep}' IS NOT NULL;
