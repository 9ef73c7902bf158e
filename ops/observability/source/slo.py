"""Objectives of the API: recording rules, error budgets and burn rates (docs/slo.md)."""

from .rules import Alert, Group, Recording

REQUESTS = "http_server_request_duration_seconds"
# Requests of the API.
API = 'http_route=~"/api/v1/.+"'
# Of these, those whose time is the service's: an upload takes as long as its client needs, a question about a
# file as long as the file needs, and a client that waits for the end of a job asks for it. Those that are turned away
# without work are fast, and would hide that others are not.
TIMED = (
    f'{API},http_route!~"/api/v1/(uploads.*|validate|estimate)",ffapi_waited="",'
    'http_response_status_code!~"401|429|5.."'
)
WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
# The part of requests that may miss each objective.
BUDGETS = {"availability": "0.001", "latency_500ms": "0.05", "latency_1s": "0.01"}


def ratio(bad, all_, window):
    """The part of the requests of a window that are bad; a service without a bad one has no such series."""
    return f"(sum(rate({bad}[{window}])) or vector(0))\n/ sum(rate({all_}[{window}]))"


def slower(bound, window):
    """The part of the requests of a window that took longer than a bound, in seconds."""
    within = f'{REQUESTS}_bucket{{{TIMED},le=~"{bound}"}}'
    return f"1 - sum(rate({within}[{window}]))\n/ sum(rate({REQUESTS}_count{{{TIMED}}}[{window}]))"


def recordings():
    for objective, budget in BUDGETS.items():
        yield Recording("ffapi:slo_budget:ratio", f"vector({budget})", {"objective": objective})
    all_ = f"{REQUESTS}_count{{{API}}}"
    failed = f'{REQUESTS}_count{{{API},http_response_status_code=~"5.."}}'
    for window in WINDOWS:
        for objective, expr in (
            ("availability", ratio(failed, all_, window)),
            ("latency_500ms", slower("0.5", window)),
            ("latency_1s", slower("1|1.0", window)),
        ):
            yield Recording(f"ffapi:slo_errors:ratio_rate{window}", expr, {"objective": objective})
    # Weighted by requests, from five-minute rates: a month of the raw series would be slow to read.
    timed = f"{REQUESTS}_count{{{TIMED}}}"
    yield Recording("ffapi:http_requests:rate5m", f"sum(rate({all_}[5m]))", {"objective": "availability"})
    for objective in ("latency_500ms", "latency_1s"):
        yield Recording("ffapi:http_requests:rate5m", f"sum(rate({timed}[5m]))", {"objective": objective})
    yield Recording(
        "ffapi:slo_errors:rate5m", "ffapi:slo_errors:ratio_rate5m * on (objective) ffapi:http_requests:rate5m >= 0"
    )
    yield Recording(
        "ffapi:slo_errors:ratio_rate30d",
        "sum by (objective) (sum_over_time(ffapi:slo_errors:rate5m[30d]))\n"
        "/ sum by (objective) (sum_over_time(ffapi:http_requests:rate5m[30d]))",
    )
    yield Recording(
        "ffapi:slo_budget_left:ratio", "1 - ffapi:slo_errors:ratio_rate30d / on (objective) ffapi:slo_budget:ratio"
    )
    yield Recording(
        "ffapi:http_request_duration_seconds:mean5m",
        f"sum(rate({REQUESTS}_sum{{{TIMED}}}[5m]))\n/ sum(rate({REQUESTS}_count{{{TIMED}}}[5m]))",
    )
    for name, quantile in (("p95", "0.95"), ("p99", "0.99")):
        yield Recording(
            f"ffapi:http_request_duration_seconds:{name}_5m",
            f"histogram_quantile({quantile}, sum by (le) (rate({REQUESTS}_bucket{{{TIMED}}}[5m])))",
        )


def burns(long, short, factor):
    both = [
        f"ffapi:slo_errors:ratio_rate{window} > on (objective) {factor} * ffapi:slo_budget:ratio"
        for window in (long, short)
    ]
    return f"({both[0]}\n    and on (objective) {both[1]})"


def request(status, route="/api/v1/jobs"):
    return f'{REQUESTS}_count{{http_route="{route}",http_response_status_code="{status}"}}'


HOUR_BAD = {request(200): "0+95x400", request(503): "0+5x400"}
HOUR_GOOD = {request(200): "0+10000x400", request(503): "0+4x400"}

GROUP = Group(
    "slo",
    [
        *recordings(),
        Alert(
            "FfapiErrorBudgetBurnsFast",
            "critical",
            "2m",
            f"{burns('1h', '5m', '14.4')}\nor {burns('6h', '30m', '6')}",
            "The error budget of {{ $labels.objective }} is used up within days",
            "Requests miss the objective {{ $labels.objective }} so often that 2 % of the budget of 30 days goes in an hour, "
            "or 5 % in six.",
            HOUR_BAD,
            HOUR_GOOD,
            "2h",
            {"objective": "availability"},
            "freeze NATS while clients send requests",
        ),
        Alert(
            "FfapiErrorBudgetBurnsSlowly",
            "warning",
            "15m",
            f"{burns('1d', '2h', '3')}\nor {burns('3d', '6h', '1')}",
            "The error budget of {{ $labels.objective }} will not last for 30 days",
            "Requests miss the objective {{ $labels.objective }} so often that 10 % of the budget of 30 days goes in a day, or "
            "in three.",
            {request(200): "0+9950x400", request(503): "0+50x400"},
            HOUR_GOOD,
            "6h",
            {"objective": "availability"},
            "freeze NATS while clients send requests",
        ),
        Alert(
            "FfapiLatencyMeanHigh",
            "warning",
            "10m",
            "ffapi:http_request_duration_seconds:mean5m > 0.1",
            "Requests take longer than 100 ms in the mean",
            "The mean over five minutes, without uploads, questions about files and requested waits, is above the objective.",
            {
                f'{REQUESTS}_sum{{http_route="/api/v1/jobs"}}': "0+20x40",
                f'{REQUESTS}_count{{http_route="/api/v1/jobs"}}': "0+100x40",
            },
            {
                f'{REQUESTS}_sum{{http_route="/api/v1/uploads"}}': "0+900x40",
                f'{REQUESTS}_count{{http_route="/api/v1/uploads"}}': "0+10x40",
                f'{REQUESTS}_sum{{http_route="/api/v1/convert",ffapi_waited="true"}}': "0+900x40",
                f'{REQUESTS}_count{{http_route="/api/v1/convert",ffapi_waited="true"}}': "0+10x40",
                f'{REQUESTS}_sum{{http_route="/api/v1/jobs"}}': "0+5x40",
                f'{REQUESTS}_count{{http_route="/api/v1/jobs"}}': "0+100x40",
            },
            live="freeze NATS for seconds while clients submit jobs",
        ),
    ],
    test_step="10m",
)
