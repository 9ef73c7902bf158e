-- The read model `jobs` answered list, detail and queue from one table; each has its own now. They
-- fill themselves from the log.
DROP TABLE job;
DELETE FROM projection_checkpoint WHERE name = 'jobs';
DELETE FROM projection_parked WHERE name = 'jobs';

-- Read model `job_detail`: one row a job, with everything that is shown of it.
CREATE TABLE job_detail (
    id         text   PRIMARY KEY,
    tenant     text   NOT NULL,
    sequence   bigint NOT NULL,  -- of the newest message folded in
    doc        jsonb  NOT NULL   -- the fold itself
);

-- Read model `job_list`: one row a job, in brief, found by what a list filters by.
CREATE TABLE job_list (
    id         text   PRIMARY KEY,
    tenant     text   NOT NULL,
    kind       text   NOT NULL,
    status     text   NOT NULL,
    created_at bigint NOT NULL,  -- milliseconds since 1970
    sequence   bigint NOT NULL,
    doc        jsonb  NOT NULL
);
CREATE INDEX job_list_by_tenant ON job_list (tenant, id DESC);
CREATE INDEX job_list_by_status ON job_list (tenant, status, id DESC);

-- Read model `queue`: one row a job; those that wait or run are counted by a small index.
CREATE TABLE queue (
    id         text     PRIMARY KEY,
    tenant     text     NOT NULL,
    status     text     NOT NULL,
    priority   smallint NOT NULL,  -- 0 low, 1 normal, 2 high
    since      bigint   NOT NULL,  -- milliseconds since 1970: since when it has that status
    sequence   bigint   NOT NULL,
    doc        jsonb    NOT NULL
);
CREATE INDEX queue_open ON queue (tenant, status, priority, since)
    WHERE status IN ('queued', 'processing');
