-- Read model `audit_decision`: what the log decided about keys and accounts, one row an event.
CREATE TABLE audit_decision (
    sequence   bigint  NOT NULL,
    index      integer NOT NULL,
    at         bigint  NOT NULL,  -- milliseconds since 1970
    tenant     text    NOT NULL,
    actor      text    NOT NULL,
    address    text,
    action     text    NOT NULL,
    target     text    NOT NULL,
    request_id text,
    detail     jsonb   NOT NULL,
    PRIMARY KEY (sequence, index)
);
CREATE INDEX audit_decision_by_time ON audit_decision (at DESC, sequence DESC, index DESC);
CREATE INDEX audit_decision_by_tenant ON audit_decision (tenant, at DESC);

-- Read model `audit_note`: what was refused and looked at, as noted beside the log, each chained to
-- the one before by SHA-256.
CREATE TABLE audit_note (
    sequence   bigint  PRIMARY KEY,
    at         bigint  NOT NULL,
    tenant     text    NOT NULL,
    actor      text    NOT NULL,
    address    text,
    action     text    NOT NULL,
    target     text    NOT NULL,
    request_id text,
    detail     jsonb   NOT NULL,
    subject    text    NOT NULL,
    payload    bytea   NOT NULL,
    hash       bytea   NOT NULL    -- SHA-256(previous hash, sequence, subject, payload)
);
CREATE INDEX audit_note_by_time ON audit_note (at DESC, sequence DESC);
CREATE INDEX audit_note_by_tenant ON audit_note (tenant, at DESC);
