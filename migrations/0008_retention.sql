-- Jobs whose outputs are still kept, by when they were made.
CREATE INDEX job_detail_kept ON job_detail ((doc #>> '{summary,completed_at}'))
    WHERE doc #>> '{summary,status}' = 'completed'
      AND doc #>> '{summary,outputs_expired_at}' IS NULL;
