"""The one source of the dashboards, alerts and recording rules in this folder."""

from . import data, media, objectives, operations, servers, service, slo, tenants, work

GROUPS = [
    slo.GROUP,
    service.PROCESSES,
    service.LOG,
    data.READ_MODELS,
    data.POSTGRES,
    work.JOBS,
    work.WEBHOOKS,
    data.STORES,
    data.BACKUPS,
    data.ACCESS,
    service.HOST,
]
DASHBOARDS = [operations.DASHBOARD, media.DASHBOARD, objectives.DASHBOARD, servers.DASHBOARD, tenants.DASHBOARD]
