"""The dashboard of objectives and error budgets."""

from .panels import Dashboard, Panel, Query, Row

MEAN = "ffapi:http_request_duration_seconds"
BUDGETS = Row(
    "30 days",
    [
        Panel(
            "Availability",
            [Query('1 - ffapi:slo_errors:ratio_rate30d{objective="availability"}')],
            "percentunit",
            "stat",
            6,
            6,
            "Objective: 99.9 %.",
            thresholds=[(0, "red"), (0.999, "green")],
        ),
        Panel(
            "Answered within 500 ms",
            [Query('1 - ffapi:slo_errors:ratio_rate30d{objective="latency_500ms"}')],
            "percentunit",
            "stat",
            6,
            6,
            "Objective: 95 %.",
            thresholds=[(0, "red"), (0.95, "green")],
        ),
        Panel(
            "Answered within 1 s",
            [Query('1 - ffapi:slo_errors:ratio_rate30d{objective="latency_1s"}')],
            "percentunit",
            "stat",
            6,
            6,
            "Objective: 99 %.",
            thresholds=[(0, "red"), (0.99, "green")],
        ),
        Panel(
            "Requests",
            [Query('sum_over_time(ffapi:http_requests:rate5m{objective="availability"}[30d]) * 60')],
            "short",
            "stat",
            6,
            6,
            "Estimated from rates, one a minute.",
        ),
        Panel(
            "Error budget left",
            [Query("ffapi:slo_budget_left:ratio", "{{objective}}")],
            "percentunit",
            "gauge",
            12,
            8,
            "Of 30 days; negative when an objective is missed.",
            thresholds=[(0, "red"), (0.25, "orange"), (0.5, "green")],
        ),
        Panel(
            "Error budget left over time",
            [Query("ffapi:slo_budget_left:ratio", "{{objective}}")],
            "percentunit",
            width=12,
        ),
    ],
)
BURN = Row(
    "Burn rates",
    [
        Panel(
            "Availability",
            [
                Query(
                    f'ffapi:slo_errors:ratio_rate{window}{{objective="availability"}} / on (objective) ffapi:slo_budget:ratio',
                    window,
                )
                for window in ("5m", "1h", "6h", "3d")
            ],
            "none",
            text="1 uses up the budget in 30 days. Alerts: 14.4 in an hour, 6 in six, 3 in a day, 1 in three.",
            thresholds=[(1, "orange"), (14.4, "red")],
        ),
        Panel(
            "500 ms",
            [
                Query(
                    f'ffapi:slo_errors:ratio_rate{window}{{objective="latency_500ms"}} / on (objective) ffapi:slo_budget:ratio',
                    window,
                )
                for window in ("5m", "1h", "6h", "3d")
            ],
            "none",
            thresholds=[(1, "orange")],
        ),
        Panel(
            "1 s",
            [
                Query(
                    f'ffapi:slo_errors:ratio_rate{window}{{objective="latency_1s"}} / on (objective) ffapi:slo_budget:ratio',
                    window,
                )
                for window in ("5m", "1h", "6h", "3d")
            ],
            "none",
            thresholds=[(1, "orange"), (14.4, "red")],
        ),
    ],
)
LATENCY = Row(
    "Latency",
    [
        Panel("Mean", [Query(f"{MEAN}:mean5m", "mean")], "s", text="Objective: 100 ms.", thresholds=[(0.1, "red")]),
        Panel("p95", [Query(f"{MEAN}:p95_5m", "p95")], "s", text="Objective: 500 ms.", thresholds=[(0.5, "red")]),
        Panel("p99", [Query(f"{MEAN}:p99_5m", "p99")], "s", text="Objective: 1 s.", thresholds=[(1, "red")]),
    ],
)
JOBS = Row(
    "Jobs and alerts",
    [
        Panel(
            "Jobs that did not fail",
            [
                Query(
                    '1 - (sum(increase(ffapi_jobs_total{outcome=~"failed|dead_lettered"}[1h])) or vector(0)) / sum(increase(ffapi_jobs_total{outcome!="cancelled"}[1h]))',
                    "in an hour",
                )
            ],
            "percentunit",
            width=12,
            maximum=1,
            thresholds=[(0, "red"), (0.95, "green")],
        ),
        Panel(
            "Alerts that fire", [Query('ALERTS{alertstate="firing"}')], kind="table", width=12, after="an alert fired"
        ),
    ],
)
DASHBOARD = Dashboard(
    "ffapi-slo",
    "ffapi / Objectives",
    "Objectives of the API and their error budgets (docs/slo.md).",
    [BUDGETS, BURN, LATENCY, JOBS],
)
