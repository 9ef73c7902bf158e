-- Outputs that were put at URLs of their owner are in no store: nothing of them expires.
CREATE INDEX job_detail_stored ON job_detail ((doc #>> '{summary,completed_at}'))
    WHERE doc #>> '{summary,status}' = 'completed'
      AND doc #>> '{summary,outputs_expired_at}' IS NULL
      AND COALESCE(doc #>> '{summary,output}', '') !~ '^https?://';
DROP INDEX job_detail_kept;
