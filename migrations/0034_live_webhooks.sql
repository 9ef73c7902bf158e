-- An account that creates and deletes endpoints again and again leaves a row of each, which no list and no
-- event is to read.
CREATE INDEX webhook_live ON webhook (tenant, id) WHERE thing IS NULL AND status <> 'deleted';
DROP INDEX webhook_by_tenant;
