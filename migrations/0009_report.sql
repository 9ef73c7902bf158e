-- Read model `report`: what was made, by month, tenant and codec. Nobody follows the log for it; it is
-- built from zero when somebody asks.
CREATE TABLE report (
    month  text   NOT NULL,  -- like 2026-11, UTC
    tenant text   NOT NULL,
    codec  text   NOT NULL,  -- of the picture, else of the sound, else the kind of job
    jobs   bigint NOT NULL,
    micros bigint NOT NULL,  -- of media that was charged
    bytes  bigint NOT NULL,  -- of outputs
    PRIMARY KEY (month, tenant, codec)
);
