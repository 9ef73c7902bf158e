-- Read model `usage`: one row a job, with what it was charged and made. Labels are in `job_list`.
CREATE TABLE usage (
    id         text             PRIMARY KEY,
    tenant     text             NOT NULL,
    day        text             NOT NULL,  -- like 2026-11-29, UTC: of its end, of its submission before
    kind       text             NOT NULL,
    status     text             NOT NULL,
    codec      text             NOT NULL,  -- of the first video output, else of the first audio output
    micros     bigint           NOT NULL DEFAULT 0,  -- of media that was charged
    seconds    double precision NOT NULL,  -- of work on the attempt that made the outputs
    bytes      bigint           NOT NULL,  -- of outputs
    sequence   bigint           NOT NULL
);
CREATE INDEX usage_by_tenant ON usage (tenant, day);
