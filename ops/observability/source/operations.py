"""The dashboard of an operator on call."""

from .panels import Dashboard, Panel, Query, Row, quantile, quantiles, rate, share

HTTP = "http_server_request_duration_seconds"
API = 'http_route=~"/api/v1/.+"'
RED_BELOW_ONE = [(0, "red"), (1, "green")]
DISK = 'fstype!~"squashfs|iso9660|ramfs|tmpfs"'


def top(expr):
    return f"topk(8, {expr})"


def stat(title, expr, unit="short", thresholds=(), text="", legend="__auto"):
    return Panel(title, [Query(expr, legend)], unit, "stat", 4, 4, text, thresholds=list(thresholds))


HEALTH = Row(
    "Health",
    [
        stat(
            "Gateways ready",
            'min(probe_success{job="ffapi-ready"})',
            thresholds=RED_BELOW_ONE,
            text="1 if all answer /health/ready with 200 (blackbox exporter).",
        ),
        stat("Processes down", 'count(up{job="ffapi"} == 0) or vector(0)', thresholds=[(1, "red")]),
        stat("Acting conductors", "sum(ffapi_conductor_acting)", thresholds=[(0, "red"), (1, "green"), (2, "red")]),
        stat("Live workers", "sum(ffapi_fleet_workers)", thresholds=RED_BELOW_ONE),
        stat(
            "Connected to NATS", "min(ffapi_nats_connected)", thresholds=RED_BELOW_ONE, text="1 if all processes are."
        ),
        stat(
            "Alerts that fire",
            'count(ALERTS{alertstate="firing",severity!="info"}) or vector(0)',
            thresholds=[(1, "red")],
        ),
    ],
)
REQUESTS = Row(
    "Requests",
    [
        Panel(
            "Requests by status",
            [Query(rate(f"{HTTP}_count", API, by="http_response_status_code"), "{{http_response_status_code}}")],
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failed requests",
            [
                Query(
                    share(
                        rate(f"{HTTP}_count", API, 'http_response_status_code=~"5.."') + " or vector(0)",
                        rate(f"{HTTP}_count", API),
                    ),
                    "5xx",
                )
            ],
            "percentunit",
            thresholds=[(0.001, "red")],
        ),
        Panel(
            "Duration",
            quantiles(HTTP, API, 'ffapi_waited=""'),
            "s",
            text="Without requests that asked to wait for the end of a job.",
        ),
        Panel(
            "Slowest routes (p95)",
            [
                Query(
                    top(quantile("0.95", HTTP, API, 'ffapi_waited=""', by="http_request_method, http_route")),
                    "{{http_request_method}} {{http_route}}",
                )
            ],
            "s",
            width=12,
        ),
        Panel(
            "Busiest routes",
            [
                Query(
                    top(rate(f"{HTTP}_count", API, by="http_request_method, http_route")),
                    "{{http_request_method}} {{http_route}}",
                )
            ],
            "reqps",
            width=12,
        ),
        Panel("Problems", [Query(rate("ffapi_http_problems_total", by="problem"), "{{problem}}")], "reqps"),
        Panel(
            "Requests and streams now",
            [
                Query("sum(http_server_active_requests)", "active requests"),
                Query("sum(ffapi_event_streams)", "streams of events"),
                Query("sum(ffapi_http_connections)", "connections"),
            ],
        ),
        Panel(
            "Uploads and downloads",
            [
                Query(rate("ffapi_uploaded_bytes_total"), "received"),
                Query(rate("ffapi_downloaded_bytes_total"), "sent"),
                Query(rate("ffapi_fetched_bytes_total"), "fetched from other hosts"),
            ],
            "Bps",
        ),
    ],
)
QUEUE = Row(
    "Queue",
    [
        Panel("Waiting jobs by reason", [Query("sum by (reason) (ffapi_queue_jobs)", "{{reason}}")], stacked=True),
        Panel("Waiting jobs by pool", [Query("sum by (pool) (ffapi_queue_jobs)", "{{pool}}")], stacked=True),
        Panel(
            "Oldest eligible job",
            [Query("max by (pool) (ffapi_queue_oldest_age_seconds)", "{{pool}}")],
            "s",
            thresholds=[(900, "orange")],
        ),
        Panel("Jobs in flight", [Query("sum by (pool, state) (ffapi_jobs_in_flight)", "{{pool}} {{state}}")]),
        Panel("Slots of live workers", [Query("sum by (pool) (ffapi_fleet_slots)", "{{pool}}")]),
        Panel(
            "Time until a worker starts",
            [Query(quantile("0.95", "ffapi_dispatch_duration_seconds", by="pool"), "{{pool}} p95")],
            "s",
        ),
    ],
)
ACCESS = Row(
    "Access",
    [
        Panel(
            "Rejected credentials",
            [Query(rate("ffapi_credentials_rejected_total", by="reason"), "{{reason}}")],
            "reqps",
        ),
        Panel("Limits reached", [Query(rate("ffapi_limits_reached_total", by="limit"), "{{limit}}")], "reqps"),
        Panel(
            "Age of key data",
            [Query("max by (instance) (ffapi_credentials_age_seconds)", "{{instance}}")],
            "s",
            thresholds=[(5, "red")],
        ),
        Panel(
            "Revocation until rejected (p99)",
            [Query(quantile("0.99", "ffapi_key_revocation_seconds"), "p99")],
            "s",
            after="a key was revoked",
        ),
        Panel(
            "Cache hits",
            [
                Query(
                    share(
                        rate("ffapi_cache_requests_total", 'result="hit"', by="cache"),
                        rate("ffapi_cache_requests_total", by="cache"),
                    ),
                    "{{cache}}",
                )
            ],
            "percentunit",
            maximum=1,
        ),
        Panel(
            "Waits of reads for the log (p99)",
            [Query(quantile("0.99", "ffapi_read_wait_duration_seconds", by="outcome"), "{{outcome}}")],
            "s",
        ),
    ],
)
PROCESSES = Row(
    "Processes",
    [
        Panel(
            "Processor",
            [
                Query(
                    'sum by (instance) (rate(process_cpu_seconds_total{job="ffapi"}[$__rate_interval]))',
                    "{{instance}}",
                )
            ],
            text="Cores in use; media children are under Jobs and media.",
        ),
        Panel("Memory", [Query('process_resident_memory_bytes{job="ffapi"}', "{{instance}}")], "bytes"),
        Panel(
            "File descriptors",
            [Query('process_open_fds{job="ffapi"} / process_max_fds{job="ffapi"}', "{{instance}}")],
            "percentunit",
        ),
        Panel("Uptime", [Query('time() - process_start_time_seconds{job="ffapi"}', "{{instance}}")], "s"),
        Panel(
            "Tasks",
            [Query("ffapi_runtime_tasks", "{{instance}}"), Query("ffapi_runtime_queued_tasks", "{{instance}} ready")],
        ),
        Panel("Versions", [Query("count by (instance, version) (ffapi_build_info)")], kind="table"),
    ],
)
HOSTS = Row(
    "Hosts (node exporter)",
    [
        Panel(
            "Processor",
            [
                Query(
                    '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                    "{{instance}}",
                )
            ],
            "percentunit",
            maximum=1,
        ),
        Panel(
            "Memory",
            [Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}")],
            "percentunit",
            maximum=1,
        ),
        Panel(
            "Free disk space",
            [
                Query(
                    f"node_filesystem_avail_bytes{{{DISK}}} / node_filesystem_size_bytes{{{DISK}}}",
                    "{{instance}} {{mountpoint}}",
                )
            ],
            "percentunit",
            maximum=1,
        ),
        Panel(
            "Disk",
            [
                Query("sum by (instance) (rate(node_disk_read_bytes_total[$__rate_interval]))", "{{instance}} read"),
                Query(
                    "sum by (instance) (rate(node_disk_written_bytes_total[$__rate_interval]))",
                    "{{instance}} written",
                ),
            ],
            "Bps",
            width=12,
        ),
        Panel(
            "Network",
            [
                Query(
                    'sum by (instance) (rate(node_network_receive_bytes_total{device!="lo"}[$__rate_interval]))',
                    "{{instance}} received",
                ),
                Query(
                    'sum by (instance) (rate(node_network_transmit_bytes_total{device!="lo"}[$__rate_interval]))',
                    "{{instance}} sent",
                ),
            ],
            "Bps",
            width=12,
        ),
    ],
)
DASHBOARD = Dashboard(
    "ffapi-operations",
    "ffapi / Operations",
    "Health, requests, the queue, access, processes and hosts.",
    [HEALTH, REQUESTS, QUEUE, ACCESS, PROCESSES, HOSTS],
)
