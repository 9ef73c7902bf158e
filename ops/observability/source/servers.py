"""The dashboard of NATS, the read models and Postgres."""

from .panels import Dashboard, Panel, Query, Row, quantile, quantiles, rate, share

APPENDS = "ffapi_log_append_duration_seconds"
NATS = "messaging_client_operation_duration_seconds"
STATEMENTS = "db_client_operation_duration_seconds"
LOG = Row(
    "NATS and the log",
    [
        Panel("Connected", [Query("ffapi_nats_connected", "{{instance}}")], maximum=1),
        Panel(
            "Lost connections",
            [Query("sum by (instance) (increase(ffapi_nats_disconnections_total[5m]))", "{{instance}}")],
            text="In five minutes.",
        ),
        Panel(
            "Slow consumers",
            [Query("sum by (instance) (increase(ffapi_nats_slow_consumers_total[5m]))", "{{instance}}")],
            text="In five minutes.",
        ),
        Panel("Appends", [Query(rate(f"{APPENDS}_count", by="outcome"), "{{outcome}}")], "ops", stacked=True),
        Panel("Time of an append", quantiles(APPENDS), "s", thresholds=[(0.5, "orange")]),
        Panel(
            "Decisions in a batch (mean)",
            [Query(share(rate("ffapi_log_batch_size_sum"), rate("ffapi_log_batch_size_count")), "mean")],
            "none",
        ),
        Panel("Decisions that wait", [Query("ffapi_log_append_queue", "{{instance}}")]),
        Panel(
            "Conflicts and unknown outcomes",
            [
                Query(rate("ffapi_log_conflicts_total"), "conflicts"),
                Query(rate("ffapi_log_unknown_outcomes_total"), "unknown outcomes"),
                Query(rate("ffapi_command_retries_total"), "decided again"),
            ],
            "ops",
        ),
        Panel("Appended", [Query(rate("ffapi_log_appended_bytes_total"), "bytes")], "Bps"),
        Panel(
            "Streams",
            [Query("max by (stream) (ffapi_stream_size_bytes)", "{{stream}}")],
            "bytes",
            text="Of one replica.",
        ),
        Panel(
            "Requests to NATS (p95)",
            [
                Query(
                    quantile("0.95", NATS, by="messaging_destination_name, messaging_operation_name"),
                    "{{messaging_operation_name}} {{messaging_destination_name}}",
                )
            ],
            "s",
        ),
        Panel(
            "Messages",
            [
                Query(
                    rate("messaging_client_sent_messages_total", by="messaging_destination_name"),
                    "sent {{messaging_destination_name}}",
                ),
                Query(
                    rate("messaging_client_consumed_messages_total", by="messaging_destination_name"),
                    "received {{messaging_destination_name}}",
                ),
            ],
            "ops",
        ),
        Panel(
            "Replicas of streams",
            [
                Query("max by (stream) (ffapi_stream_replicas)", "{{stream}}"),
                Query("min by (stream) (ffapi_stream_current_replicas)", "{{stream}}, up to date"),
            ],
            kind="stat",
            width=12,
            height=5,
            text="With one replica, the loss of a disk is the loss of the log. Fewer that are up to date survive fewer faults.",
        ),
        Panel(
            "Versions of NATS",
            [Query("count by (instance, version) (ffapi_nats_server_info)")],
            kind="table",
            width=12,
            height=5,
        ),
    ],
)
COMMANDS = Row(
    "Commands",
    [
        Panel(
            "Commands",
            [Query(rate("ffapi_command_duration_seconds_count", by="aggregate"), "{{aggregate}}")],
            "ops",
            stacked=True,
        ),
        Panel(
            "Rejected commands",
            [Query(rate("ffapi_command_rejections_total", by="aggregate, reason"), "{{aggregate}} {{reason}}")],
            "ops",
            after="an aggregate rejected a command",
        ),
        Panel(
            "Time of a command (p95)",
            [Query(quantile("0.95", "ffapi_command_duration_seconds", by="aggregate"), "{{aggregate}}")],
            "s",
        ),
        Panel(
            "States in memory",
            [
                Query(
                    share(
                        rate("ffapi_fold_cache_requests_total", 'result="hit"'),
                        rate("ffapi_fold_cache_requests_total"),
                    ),
                    "hits",
                )
            ],
            "percentunit",
            maximum=1,
        ),
        Panel("Rounds of the conductor", quantiles("ffapi_conductor_round_duration_seconds"), "s"),
        Panel("Skipped aggregates", [Query("max(ffapi_conductor_unreadable_aggregates)", "unreadable")]),
    ],
)
READ_MODELS = Row(
    "Read models",
    [
        Panel(
            "Lag",
            [Query("max by (projection) (ffapi_projection_lag_seconds)", "{{projection}}")],
            "s",
            thresholds=[(30, "orange")],
        ),
        Panel("Messages to apply", [Query("max by (projection) (ffapi_projection_lag_events)", "{{projection}}")]),
        Panel(
            "Decision until committed (p95)",
            [Query(quantile("0.95", "ffapi_projection_delay_seconds", by="projection"), "{{projection}}")],
            "s",
        ),
        Panel(
            "Commits (p95)",
            [Query(quantile("0.95", "ffapi_projection_commit_duration_seconds", by="projection"), "{{projection}}")],
            "s",
        ),
        Panel(
            "Messages of a commit (mean)",
            [
                Query(
                    share(
                        rate("ffapi_projection_batch_size_sum", by="projection"),
                        rate("ffapi_projection_batch_size_count", by="projection"),
                    ),
                    "{{projection}}",
                )
            ],
            "none",
        ),
        Panel("States", [Query("sum by (state) (ffapi_projection_state)", "{{state}}")], stacked=True),
        Panel("Parked messages", [Query("max by (projection) (ffapi_projection_parked_messages)", "{{projection}}")]),
        Panel(
            "Restarts",
            [Query("sum by (projection) (increase(ffapi_projection_restarts_total[5m]))", "{{projection}}")],
            text="In five minutes.",
        ),
        Panel(
            "Signatures of the archive",
            [Query("sum by (outcome) (increase(ffapi_archive_anchors_total[1h]))", "{{outcome}}")],
            text="In an hour.",
        ),
    ],
)
POSTGRES = Row(
    "Postgres, as this service sees it",
    [
        Panel(
            "Statements",
            [Query(rate(f"{STATEMENTS}_count", by="db_operation_name"), "{{db_operation_name}}")],
            "ops",
            stacked=True,
        ),
        Panel(
            "Time of a statement (p95)",
            [Query(quantile("0.95", STATEMENTS, by="db_collection_name"), "{{db_collection_name}}")],
            "s",
        ),
        Panel(
            "Failed statements",
            [Query(rate(f"{STATEMENTS}_count", 'error_type!=""', by="error_type"), "{{error_type}}")],
            "ops",
            after="a statement failed",
        ),
        Panel(
            "Connections",
            [
                Query(
                    "sum by (db_client_connection_pool_name, db_client_connection_state) (db_client_connection_count)",
                    "{{db_client_connection_pool_name}} {{db_client_connection_state}}",
                )
            ],
            width=12,
        ),
        Panel(
            "Use of pools",
            [
                Query(
                    'max by (instance, db_client_connection_pool_name) (db_client_connection_count{db_client_connection_state="used"} / ignoring (db_client_connection_state) db_client_connection_max)',
                    "{{instance}} {{db_client_connection_pool_name}}",
                )
            ],
            "percentunit",
            width=12,
            maximum=1,
        ),
    ],
)
EXPORTER = Row(
    "Postgres (postgres exporter)",
    [
        Panel("Up", [Query("pg_up", "{{instance}}")], maximum=1),
        Panel(
            "Connections by state",
            [
                Query("sum by (state) (pg_stat_activity_count)", "{{state}}"),
                Query("max(pg_settings_max_connections)", "max_connections"),
            ],
        ),
        Panel(
            "Transactions",
            [
                Query("sum(rate(pg_stat_database_xact_commit[$__rate_interval]))", "committed"),
                Query("sum(rate(pg_stat_database_xact_rollback[$__rate_interval]))", "rolled back"),
            ],
            "ops",
        ),
        Panel(
            "Blocks found in memory",
            [
                Query(
                    "sum(rate(pg_stat_database_blks_hit[$__rate_interval])) / (sum(rate(pg_stat_database_blks_hit[$__rate_interval])) + sum(rate(pg_stat_database_blks_read[$__rate_interval])))",
                    "hits",
                )
            ],
            "percentunit",
            maximum=1,
        ),
        Panel("Size", [Query('pg_database_size_bytes{datname!~"template.*"}', "{{datname}}")], "bytes"),
        Panel("Locks", [Query("sum by (mode) (pg_locks_count)", "{{mode}}")]),
        Panel("Longest transaction", [Query("max by (state) (pg_stat_activity_max_tx_duration)", "{{state}}")], "s"),
        Panel("Deadlocks", [Query("sum(increase(pg_stat_database_deadlocks[5m]))", "in five minutes")]),
        Panel("Temporary files", [Query("sum(rate(pg_stat_database_temp_bytes[$__rate_interval]))", "bytes")], "Bps"),
    ],
)
DASHBOARD = Dashboard(
    "ffapi-servers",
    "ffapi / NATS and Postgres",
    "The log, commands, read models and Postgres.",
    [LOG, COMMANDS, READ_MODELS, POSTGRES, EXPORTER],
)
