"""The dashboard of tenants, from the API: no metric has a tenant as label."""

from .panels import Columns, Dashboard, Panel, Row

PERIOD = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "media_minutes": "media minutes",
    "work_seconds": "seconds of work",
    "output_bytes": "bytes of outputs",
}


def table(title, url, root, columns, width=24, text="", after="", height=8):
    return Panel(
        title, [Columns(url, root, columns)], kind="table", width=width, height=height, text=text, after=after
    )


ACCOUNTS = Row(
    "Accounts",
    [
        table(
            "Accounts",
            "/api/v1/accounts?limit=200",
            "data",
            {
                "tenant": "tenant",
                "tier": "tier",
                "status": "status",
                "minutes_taken": "media minutes this month",
                "limits.monthly_minutes": "of",
                "storage_taken": "stored bytes",
                "limits.storage_bytes": "of bytes",
                "limits.concurrent_jobs": "concurrent jobs",
                "limits.requests_per_hour": "requests per hour",
            },
            text="The first 200 by name. Minutes are used and reserved ones.",
            height=10,
        ),
        table(
            "Dead letters",
            "/api/v1/admin/dead-letters?limit=50",
            "data",
            {"tenant": "tenant", "job.id": "job", "job.kind": "kind", "job.error.code": "error"},
            width=24,
            text="Newest first.",
            after="a job failed after its last attempt",
        ),
    ],
)
USAGE = Row(
    "Usage of the key's own account",
    [
        table(
            "By day and kind",
            "/api/v1/usage?group_by=day,kind,status",
            "data",
            {
                "day": "day",
                "kind": "kind",
                "status": "status",
                "jobs": "jobs",
                "media_minutes": "media minutes",
                "processing_seconds": "seconds of work",
                "output_bytes": "bytes of outputs",
            },
        )
    ],
)
SERVICE = Row(
    "All accounts",
    [
        table("Today", "/api/v1/admin/stats", "today", PERIOD, 8, height=5),
        table("7 days", "/api/v1/admin/stats", "last_7_days", PERIOD, 8, height=5),
        table("30 days", "/api/v1/admin/stats", "last_30_days", PERIOD, 8, height=5),
        table("Stores", "/api/v1/admin/storage", "stores", {"name": "store", "status": "status"}, 8),
        table("Uploads", "/api/v1/admin/storage", "uploads", {"count": "uploads", "bytes": "bytes"}, 8),
        table(
            "Workers",
            "/api/v1/admin/workers",
            "data",
            {"host": "host", "worker": "worker", "sandbox": "sandbox", "pools.cpu": "slots"},
            8,
        ),
    ],
)
DASHBOARD = Dashboard(
    "ffapi-tenants",
    "ffapi / Tenants",
    "Accounts and what they use, from the API by the Infinity data source.",
    [ACCOUNTS, USAGE, SERVICE],
    uses_api=True,
)
