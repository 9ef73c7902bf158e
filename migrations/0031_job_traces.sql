-- Read model `job_detail`: jobs have the id of their trace, which decisions before this version had already where
-- clients sent one. Built from the log anew, so that it equals its rebuild.
DELETE FROM job_detail;
DELETE FROM projection_checkpoint WHERE name = 'job_detail';
DELETE FROM projection_parked WHERE name = 'job_detail';
