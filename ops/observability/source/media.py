"""The dashboard of jobs, media work, stores and webhooks."""

from .panels import Dashboard, Panel, Query, Row, quantile, quantiles, rate

STORAGE = "ffapi_storage_operation_duration_seconds"
JOBS = Row(
    "Jobs",
    [
        Panel(
            "Ended jobs by outcome",
            [Query(rate("ffapi_jobs_total", by="outcome"), "{{outcome}}")],
            "ops",
            stacked=True,
        ),
        Panel(
            "Submitted jobs by kind",
            [Query(rate("ffapi_jobs_submitted_total", by="kind"), "{{kind}}")],
            "ops",
            stacked=True,
        ),
        Panel(
            "Failed jobs by error",
            [Query(rate("ffapi_jobs_total", 'outcome=~"failed|dead_lettered"', by="error_code"), "{{error_code}}")],
            "ops",
        ),
        Panel(
            "Submission to end (p95)",
            [Query(quantile("0.95", "ffapi_job_duration_seconds", by="kind"), "{{kind}}")],
            "s",
        ),
        Panel("Submission to end", quantiles("ffapi_job_duration_seconds", 'outcome="completed"'), "s"),
        Panel("Dead letters", [Query("max(ffapi_dead_letters)", "not retried")]),
        Panel("Retries", [Query(rate("ffapi_job_retries_total", by="cause"), "{{cause}}")], "ops"),
        Panel(
            "Attempts that were given up",
            [Query("sum by (reason) (increase(ffapi_attempts_abandoned_total[5m]))", "{{reason}}")],
            text="In five minutes: `lost` with their worker, or `handed_back` by one that stops.",
        ),
        Panel(
            "Tasks delivered again",
            [Query("sum(increase(ffapi_work_redeliveries_total[5m]))", "after a lease expired")],
        ),
    ],
)
WORKERS = Row(
    "Workers and media",
    [
        Panel("Slots", [Query("sum by (pool, state) (ffapi_worker_slots)", "{{pool}} {{state}}")], stacked=True),
        Panel(
            "Media seconds per second",
            [Query(rate("ffapi_media_seconds_total", by="codec"), "{{codec}}")],
            "none",
            stacked=True,
            text="By the codec of the output, as it is charged.",
        ),
        Panel(
            "Speed",
            [Query(quantile("0.5", "ffapi_media_speed_ratio", by="kind"), "{{kind}} p50")],
            "none",
            text="Seconds of media in a second of work.",
        ),
        Panel(
            "Frames per second (median)",
            [Query(quantile("0.5", "ffapi_media_frames_per_second", by="kind"), "{{kind}}")],
            "none",
        ),
        Panel(
            "Processor of media children",
            [Query(rate("ffapi_media_cpu_seconds_total", by="kind"), "{{kind}}")],
            "none",
            stacked=True,
            text="Cores in use.",
        ),
        Panel(
            "Memory of media children",
            [
                Query("sum(ffapi_media_children_memory_bytes)", "now"),
                Query(quantile("0.95", "ffapi_media_child_memory_bytes"), "p95 of a child's largest"),
            ],
            "bytes",
        ),
        Panel("Media children", [Query("sum(ffapi_media_children)", "with a job")]),
        Panel("Output", [Query(rate("ffapi_media_output_bytes_total", by="kind"), "{{kind}}")], "Bps"),
        Panel(
            "Stages of an attempt (p95)",
            [Query(quantile("0.95", "ffapi_attempt_stage_duration_seconds", by="stage"), "{{stage}}")],
            "s",
        ),
        Panel(
            "Attempts (p95)",
            [Query(quantile("0.95", "ffapi_attempt_duration_seconds", by="outcome"), "{{outcome}}")],
            "s",
        ),
        Panel(
            "Start of a media child (p95)",
            [Query(quantile("0.95", "ffapi_media_child_start_duration_seconds"), "p95")],
            "s",
        ),
        Panel(
            "Questions of gateways (p95)",
            [Query(quantile("0.95", "ffapi_questions_duration_seconds", by="question"), "{{question}}")],
            "s",
        ),
        Panel(
            "FFmpeg", [Query("count by (instance, version) (ffapi_ffmpeg_info)")], kind="table", width=12, height=5
        ),
        Panel(
            "Sandbox", [Query("count by (instance, level) (ffapi_sandbox_info)")], kind="table", width=12, height=5
        ),
    ],
)
STORES = Row(
    "Stores",
    [
        Panel(
            "Operations (p95)",
            [Query(quantile("0.95", STORAGE, by="store, operation"), "{{store}} {{operation}}")],
            "s",
        ),
        Panel("Operations", [Query(rate(f"{STORAGE}_count", by="store, outcome"), "{{store}} {{outcome}}")], "ops"),
        Panel(
            "Circuit breakers",
            [Query("max by (store) (ffapi_storage_breaker_state)", "{{store}}")],
            text="0 closed, 1 half open, 2 open.",
            thresholds=[(1, "orange"), (2, "red")],
        ),
        Panel(
            "Removed by cleanups",
            [Query("sum by (kind) (increase(ffapi_retention_removed_total[1h]))", "{{kind}}")],
            text="In an hour.",
        ),
        Panel(
            "Since the last cleanup",
            [Query("time() - max(ffapi_retention_last_success_timestamp_seconds)", "age")],
            "s",
            thresholds=[(10800, "orange")],
        ),
        Panel("Uploads", [Query(rate("ffapi_uploads_total", by="outcome"), "{{outcome}}")], "ops"),
    ],
)
WEBHOOKS = Row(
    "Webhooks",
    [
        Panel(
            "Attempts",
            [Query(rate("ffapi_webhook_attempts_total", by="outcome"), "{{outcome}}")],
            "ops",
            stacked=True,
        ),
        Panel(
            "Time of an attempt (p95)",
            [Query(quantile("0.95", "ffapi_webhook_attempt_duration_seconds", by="outcome"), "{{outcome}}")],
            "s",
        ),
        Panel(
            "Oldest due delivery",
            [Query("max(ffapi_webhook_oldest_due_age_seconds)", "age")],
            "s",
            thresholds=[(300, "orange")],
        ),
        Panel(
            "Endpoints",
            [
                Query("max(ffapi_webhook_due_endpoints)", "with a due delivery"),
                Query("sum(ffapi_webhook_active_endpoints)", "being sent to"),
            ],
        ),
        Panel(
            "Disabled endpoints",
            [Query("sum by (reason) (increase(ffapi_webhook_endpoints_disabled_total[1h]))", "{{reason}}")],
            text="In an hour.",
        ),
        Panel(
            "Outgoing requests (p95)",
            [
                Query(
                    quantile("0.95", "http_client_request_duration_seconds", by="http_request_method"),
                    "{{http_request_method}}",
                )
            ],
            "s",
            text="Webhooks (POST), and inputs from other hosts (GET).",
        ),
    ],
)
DASHBOARD = Dashboard(
    "ffapi-media",
    "ffapi / Jobs and media",
    "Jobs, media work, stores and webhooks.",
    [JOBS, WORKERS, STORES, WEBHOOKS],
)
