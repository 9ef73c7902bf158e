-- Senders take endpoints tenant by tenant.
CREATE INDEX webhook_due_by_tenant ON webhook (tenant, due_at)
    WHERE due_at IS NOT NULL AND status = 'enabled';
