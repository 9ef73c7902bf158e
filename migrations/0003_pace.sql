-- Read model `pace`: how fast jobs of each class went; what an estimate is learned from.
CREATE TABLE pace (
    class    text             PRIMARY KEY,
    seconds  double precision NOT NULL,  -- of work for each of the amount
    bytes    double precision NOT NULL,  -- that came out for each that was expected
    jobs     bigint           NOT NULL,
    sequence bigint           NOT NULL   -- of the newest message learned from
);
