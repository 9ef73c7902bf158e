-- What a webhook endpoint is still to be sent once more. The one reader writes it down; it is worked off
-- page by page beside it.
CREATE TABLE replay (
    hook_id        text    NOT NULL,
    asked          bigint  NOT NULL,  -- where the asking stands in the log, and the replay ends
    tenant         text    NOT NULL,
    asked_at       bigint  NOT NULL,
    after_sequence bigint  NOT NULL,  -- everything up to here was seen to
    after_index    integer NOT NULL,
    pages          bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (hook_id, asked)
);
