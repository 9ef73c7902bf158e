-- How far each read model has followed the log, and which log. In one transaction with its rows.
CREATE TABLE projection_checkpoint (
    name       text PRIMARY KEY,
    log_id     text   NOT NULL,
    epoch      bigint NOT NULL,
    sequence   bigint NOT NULL,  -- last message applied; 0 for none
    command_id text              -- of that message: tells a log that was replaced
);

-- Messages that could not be applied, and every later one of the same aggregate.
CREATE TABLE projection_parked (
    name      text   NOT NULL,
    sequence  bigint NOT NULL,
    subject   text   NOT NULL,
    error     text   NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, sequence)
);
CREATE INDEX projection_parked_subject ON projection_parked (name, subject);

-- Read model `jobs`: one row a job, answering the list and the detail.
CREATE TABLE job (
    id         text   PRIMARY KEY,
    tenant     text   NOT NULL,
    kind       text   NOT NULL,
    status     text   NOT NULL,
    created_at bigint NOT NULL,  -- milliseconds since 1970
    sequence   bigint NOT NULL,  -- of the newest message folded in
    doc        jsonb  NOT NULL   -- the fold itself
);
CREATE INDEX job_by_tenant ON job (tenant, id DESC);
CREATE INDEX job_by_status ON job (tenant, status, id DESC);

-- Read model `archive`: every message as it stands in the log, chained by SHA-256.
CREATE TABLE archive (
    sequence bigint PRIMARY KEY,
    subject  text  NOT NULL,
    payload  bytea NOT NULL,
    hash     bytea NOT NULL      -- SHA-256(previous hash, sequence, subject, payload)
);
CREATE INDEX archive_by_subject ON archive (subject, sequence);
