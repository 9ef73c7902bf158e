-- Read model `pace`, each tenant's own: what one tenant's jobs took counts for others as one voice among
-- many. Learned from the log anew.
DROP TABLE pace;
CREATE TABLE pace (
    class    text             NOT NULL,
    tenant   text             NOT NULL,
    seconds  double precision NOT NULL,  -- of work for each of the amount
    bytes    double precision NOT NULL,  -- that came out for each that was expected
    jobs     bigint           NOT NULL,
    sequence bigint           NOT NULL,  -- of the newest message learned from
    PRIMARY KEY (class, tenant)
);
CREATE INDEX pace_newest ON pace (class, sequence DESC);
DELETE FROM projection_checkpoint WHERE name = 'pace';
DELETE FROM projection_parked WHERE name = 'pace';
