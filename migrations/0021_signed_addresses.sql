-- What a web address asks for may be a signature that opens it: read models hold addresses as they are
-- shown, and what webhooks are sent to encrypted under the tenant's data key. Rows of before are sealed by
-- the reader of the log when it comes by next, for the key is not here.
UPDATE job_detail SET doc = jsonb_set(doc, '{request}',
    regexp_replace((doc->'request')::text, '"(https?://[^"?\s]*)\?[^"]*"', '"\1?…"', 'gi')::jsonb)
WHERE (doc->'request')::text ~* 'https?://[^"?\s]*\?';
UPDATE job_detail SET doc = jsonb_set(doc, '{summary,input}',
    to_jsonb(regexp_replace(doc #>> '{summary,input}', '\?.*$', '?…')))
WHERE doc #>> '{summary,input}' ~* '^https?://[^?]*\?';
UPDATE job_list SET doc = jsonb_set(doc, '{input}',
    to_jsonb(regexp_replace(doc->>'input', '\?.*$', '?…')))
WHERE doc->>'input' ~* '^https?://[^?]*\?';
ALTER TABLE webhook ADD COLUMN sealed bytea; -- the whole address, encrypted
CREATE INDEX webhook_clear ON webhook (id) WHERE sealed IS NULL AND doc->>'url' IS NOT NULL;
