-- Webhook endpoints: what the log says of each, and how sending to it goes. The latter is told by
-- nobody but these rows, so this read model is never built anew.
CREATE TABLE webhook (
    id            text    PRIMARY KEY,
    tenant        text    NOT NULL,
    thing         text,                        -- the job or batch whose own it is
    status        text    NOT NULL,            -- enabled, disabled, deleted
    sequence      bigint  NOT NULL,
    doc           jsonb   NOT NULL,
    due_at        bigint,                      -- when something is to be sent; null for nothing
    leased_until  bigint  NOT NULL DEFAULT 0,  -- a sender has it until then
    lease         integer,                     -- which: it holds an advisory lock of this number
    failures      integer NOT NULL DEFAULT 0,  -- in a row
    failing_since bigint,
    open_until    bigint  NOT NULL DEFAULT 0   -- the circuit breaker: nothing is sent before
);
CREATE INDEX webhook_by_tenant ON webhook (tenant, id) WHERE thing IS NULL;
CREATE INDEX webhook_by_thing ON webhook (thing) WHERE thing IS NOT NULL;
CREATE INDEX webhook_due ON webhook (due_at) WHERE due_at IS NOT NULL AND status = 'enabled';

-- One event for one endpoint; `id` is the `webhook-id` of every try.
CREATE TABLE delivery (
    hook_id      text    NOT NULL,
    id           text    NOT NULL,
    tenant       text    NOT NULL,
    thing        text    NOT NULL,  -- events of one thing are sent one after the other
    sequence     bigint  NOT NULL,
    index        integer NOT NULL,
    type         text    NOT NULL,
    body         text    NOT NULL,  -- byte for byte what is signed and sent
    created_at   bigint  NOT NULL,
    state        text    NOT NULL,  -- due, delivered, failed
    attempts     integer NOT NULL DEFAULT 0,
    next_at      bigint  NOT NULL,
    delivered_at bigint,
    PRIMARY KEY (hook_id, id)
);
CREATE INDEX delivery_due ON delivery (hook_id, thing, sequence, index) WHERE state = 'due';
CREATE INDEX delivery_next ON delivery (hook_id, sequence, index) WHERE state = 'due';
CREATE INDEX delivery_by_thing ON delivery (hook_id, thing, sequence, index);
CREATE INDEX delivery_by_tenant ON delivery (tenant);
CREATE INDEX delivery_by_time ON delivery (hook_id, sequence DESC, index DESC);
CREATE INDEX delivery_by_age ON delivery (created_at);

CREATE TABLE delivery_attempt (
    hook_id     text    NOT NULL,
    delivery_id text    NOT NULL,
    number      integer NOT NULL,
    at          bigint  NOT NULL,
    status      integer,             -- of the answer, if there was one
    latency_ms  integer NOT NULL,
    error       text,
    body        text,                -- the start of the answer
    PRIMARY KEY (hook_id, delivery_id, number)
);
