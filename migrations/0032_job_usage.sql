-- What a job used. `cpu_seconds` is 0 for jobs of earlier versions, which did not record it.
ALTER TABLE usage ADD COLUMN cpu_seconds double precision NOT NULL DEFAULT 0;
-- Read model `job_detail` has the usage of each job. Built from the log anew, so that it equals its rebuild.
DELETE FROM job_detail;
DELETE FROM projection_checkpoint WHERE name = 'job_detail';
DELETE FROM projection_parked WHERE name = 'job_detail';
