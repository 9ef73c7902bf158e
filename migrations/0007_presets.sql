-- Read model `preset`: one row a version; `_` in the place of a tenant for everybody's.
CREATE TABLE preset (
    tenant     text    NOT NULL,
    name       text    NOT NULL,
    version    integer NOT NULL,
    kind       text    NOT NULL,
    body       jsonb   NOT NULL,
    created_at bigint  NOT NULL,  -- milliseconds since 1970
    deleted    boolean NOT NULL DEFAULT false,
    sequence   bigint  NOT NULL,
    PRIMARY KEY (tenant, name, version)
);

-- Dead letters are few among many.
CREATE INDEX job_detail_dead ON job_detail (id DESC)
    WHERE doc @> '{"summary": {"status": "failed", "dead_lettered": true}}';
