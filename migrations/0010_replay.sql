-- What a webhook endpoint is still to be sent once more: everything between two places in the log. The
-- one reader writes it down; it is worked off page by page beside it.
CREATE TABLE replay (
    hook_id        text    PRIMARY KEY,
    tenant         text    NOT NULL,
    after_sequence bigint  NOT NULL,  -- everything up to here was seen to
    after_index    integer NOT NULL,
    until          bigint  NOT NULL,  -- where it was asked for
    pages          bigint  NOT NULL DEFAULT 0
);
CREATE INDEX replay_by_tenant ON replay (tenant);
