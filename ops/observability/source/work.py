"""Alerts on jobs, the queue, workers and webhooks."""

from .rules import Alert, Group

CPU = {"pool": "cpu"}


def queue(reason, values, pool="cpu"):
    return {f'ffapi_queue_jobs{{pool="{pool}",priority="normal",reason="{reason}"}}': values}


def fleet(slots, running):
    return {
        'ffapi_fleet_slots{pool="cpu"}': f"{slots}+0x90",
        'ffapi_jobs_in_flight{pool="cpu",state="running"}': f"{running}+0x90",
        'ffapi_jobs_in_flight{pool="cpu",state="released"}': "0+0x90",
    }


ENDS = "ffapi_jobs_total"
ROUNDS = "ffapi_conductor_round_duration_seconds_bucket"
DURATIONS = "ffapi_job_duration_seconds_bucket"
BUSY = 'ffapi_worker_slots{pool="cpu",state="busy"}'
IDLE = 'ffapi_worker_slots{pool="cpu",state="idle"}'

JOBS = Group(
    "jobs",
    [
        Alert(
            "FfapiNoWorkers",
            "critical",
            "5m",
            "sum(ffapi_fleet_workers) < 1",
            "No worker is alive",
            "No worker sends heartbeats: every job waits.",
            {"ffapi_fleet_workers": "0+0x40"},
            {"ffapi_fleet_workers": "2+0x40"},
            live="kill the worker",
        ),
        Alert(
            "FfapiPoolWithoutWorkers",
            "warning",
            "10m",
            'sum by (pool) (ffapi_queue_jobs{reason="no_worker"}) > 0',
            "Jobs wait for the pool {{ $labels.pool }}, which has no worker",
            "They wait until a worker with such hardware starts.",
            queue("no_worker", "3+0x40", "nvenc"),
            queue("busy", "3+0x40"),
            labels={"pool": "nvenc"},
            live="kill the worker while a job runs",
        ),
        Alert(
            "FfapiQueueOld",
            "warning",
            "5m",
            "max by (pool) (ffapi_queue_oldest_age_seconds) > 900",
            "Jobs wait for the pool {{ $labels.pool }} for a quarter of an hour",
            "The fleet is too small for what is submitted, or it does not work.",
            {'ffapi_queue_oldest_age_seconds{pool="cpu"}': "1000+0x40"},
            {'ffapi_queue_oldest_age_seconds{pool="cpu"}': "60+0x40"},
            labels=CPU,
            live="not caused: takes a quarter of an hour",
        ),
        Alert(
            "FfapiQueueStuck",
            "critical",
            "5m",
            'sum by (pool) (ffapi_queue_jobs{reason="busy"}) > 0\n'
            "and on (pool) sum by (pool) (ffapi_fleet_slots) > on (pool) sum by (pool) (ffapi_jobs_in_flight)\n"
            "unless on (pool) sum by (pool) (increase(ffapi_releases_total[5m])) > 0",
            "Jobs wait for the pool {{ $labels.pool }} although slots are free",
            "The conductor releases nothing.",
            {**queue("busy", "5+0x40"), **fleet(4, 1), 'ffapi_releases_total{pool="cpu"}': "7+0x40"},
            {**queue("busy", "5+0x40"), **fleet(4, 4), 'ffapi_releases_total{pool="cpu"}': "7+0x40"},
            labels=CPU,
            live="not caused: it would be a fault of the conductor",
        ),
        Alert(
            "FfapiJobFailuresHigh",
            "warning",
            "15m",
            f'sum(increase({ENDS}{{outcome=~"failed|dead_lettered"}}[30m]))\n/ sum(increase({ENDS}{{outcome!="cancelled"}}[30m])) > 0.1\n'
            f'and sum(increase({ENDS}{{outcome!="cancelled"}}[30m])) >= 10',
            "Many jobs fail",
            "More than a tenth of those that ended within half an hour.",
            {
                f'{ENDS}{{outcome="failed",error_code="input_corrupt"}}': "0+2x90",
                f'{ENDS}{{outcome="completed",error_code="none"}}': "0+8x90",
            },
            {
                f'{ENDS}{{outcome="failed",error_code="input_corrupt"}}': "0+1x90",
                f'{ENDS}{{outcome="completed",error_code="none"}}': "0+99x90",
                f'{ENDS}{{outcome="cancelled",error_code="none"}}': "0+90x90",
            },
            "1h",
            live="submit 20 jobs whose input is missing",
        ),
        Alert(
            "FfapiDeadLetters",
            "warning",
            "5m",
            "max(delta(ffapi_dead_letters[1h])) >= 1",
            "Jobs failed after their last attempt",
            "There are more dead letters than an hour ago.",
            {"ffapi_dead_letters": "0+0x30 3+0x90"},
            {"ffapi_dead_letters": "3+0x120"},
            "1h",
            live="submit a job whose input is on a host that is away",
        ),
        Alert(
            "FfapiAttemptsLost",
            "warning",
            "1m",
            'increase(ffapi_attempts_abandoned_total{reason="lost"}[15m]) > 0',
            "Workers vanished with attempts",
            "The attempts are repeated by others; the work so far is lost.",
            {'ffapi_attempts_abandoned_total{reason="lost"}': "0+0x20 1+0x20"},
            {
                'ffapi_attempts_abandoned_total{reason="handed_back"}': "0+0x20 1+0x20",
                'ffapi_attempts_abandoned_total{reason="lost"}': "1+0x40",
            },
            labels={"reason": "lost"},
            live="kill the worker while a job runs",
        ),
        Alert(
            "FfapiWorkRedelivered",
            "warning",
            "1m",
            "sum(increase(ffapi_work_redeliveries_total[30m])) > 5",
            "Leases of tasks expire",
            "More than five tasks were delivered again within half an hour: workers are frozen or cut off.",
            {"ffapi_work_redeliveries_total": "0+1x40"},
            {"ffapi_work_redeliveries_total": "1+0x40"},
            live="not caused: a lease lasts longer than a minute",
        ),
        Alert(
            "FfapiAggregatesUnreadable",
            "critical",
            "1m",
            "max(ffapi_conductor_unreadable_aggregates) > 0",
            "The conductor cannot read some jobs or batches",
            "It skips them: they do not proceed.",
            {"ffapi_conductor_unreadable_aggregates": "1+0x40"},
            {"ffapi_conductor_unreadable_aggregates": "0+0x40"},
            live="not caused: needs events that cannot be read",
        ),
        Alert(
            "FfapiConductorSlow",
            "warning",
            "10m",
            f"histogram_quantile(0.99, sum by (le) (rate({ROUNDS}[5m]))) > 1",
            "Rounds of the conductor are slow",
            "The slowest hundredth takes more than a second: slots stay free for that long.",
            {
                f'{ROUNDS}{{le="1"}}': "0+50x40",
                f'{ROUNDS}{{le="10"}}': "0+100x40",
                f'{ROUNDS}{{le="+Inf"}}': "0+100x40",
            },
            {
                f'{ROUNDS}{{le="1"}}': "0+100x40",
                f'{ROUNDS}{{le="10"}}': "0+100x40",
                f'{ROUNDS}{{le="+Inf"}}': "0+100x40",
            },
            live="not caused: a frozen log does not slow its rounds",
        ),
        Alert(
            "FfapiJobsSlow",
            "info",
            "30m",
            f"histogram_quantile(0.95, sum by (kind, le) (rate({DURATIONS}[30m]))) > 3600",
            "Jobs of the kind {{ $labels.kind }} take longer than an hour",
            "A twentieth of them, from submission to end.",
            {
                f'{DURATIONS}{{kind="convert",le="3600"}}': "0+50x90",
                f'{DURATIONS}{{kind="convert",le="7200"}}': "0+100x90",
                f'{DURATIONS}{{kind="convert",le="+Inf"}}': "0+100x90",
            },
            {
                f'{DURATIONS}{{kind="convert",le="60"}}': "0+100x90",
                f'{DURATIONS}{{kind="convert",le="7200"}}': "0+100x90",
                f'{DURATIONS}{{kind="convert",le="+Inf"}}': "0+100x90",
            },
            "80m",
            {"kind": "convert"},
            "not caused: takes an hour",
        ),
        Alert(
            "FfapiWorkersSaturated",
            "info",
            "30m",
            'sum by (pool) (ffapi_worker_slots{state="busy"}) / sum by (pool) (ffapi_worker_slots) > 0.95\n'
            'and on (pool) sum by (pool) (ffapi_queue_jobs{reason="busy"}) > 0',
            "All workers of the pool {{ $labels.pool }} are busy and jobs wait",
            "More workers would finish the queue sooner.",
            {BUSY: "4+0x90", IDLE: "0+0x90", **queue("busy", "5+0x90")},
            {BUSY: "4+0x90", IDLE: "0+0x90", **queue("busy", "0+0x90")},
            "1h",
            CPU,
            "submit more jobs than there are slots",
        ),
    ],
)


def attempts(rejected, delivered):
    return {
        'ffapi_webhook_attempts_total{outcome="rejected"}': f"0+{rejected}x90",
        'ffapi_webhook_attempts_total{outcome="delivered"}': f"0+{delivered}x90",
    }


WEBHOOKS = Group(
    "webhooks",
    [
        Alert(
            "FfapiWebhooksLate",
            "warning",
            "5m",
            "max(ffapi_webhook_oldest_due_age_seconds) > 300",
            "Webhooks are sent late",
            "A delivery could have been sent for more than five minutes.",
            {"ffapi_webhook_oldest_due_age_seconds": "400+0x40"},
            {"ffapi_webhook_oldest_due_age_seconds": "2+0x40"},
            live="not caused: takes minutes",
        ),
        Alert(
            "FfapiWebhooksFail",
            "warning",
            "30m",
            'sum(increase(ffapi_webhook_attempts_total{outcome!="delivered"}[30m]))\n/ sum(increase(ffapi_webhook_attempts_total[30m])) > 0.5\n'
            "and sum(increase(ffapi_webhook_attempts_total[30m])) >= 10",
            "Most webhooks fail",
            "More than half of the attempts within half an hour. If it is not one receiver, this service's "
            "network or name resolution is at fault.",
            attempts(8, 2),
            attempts(1, 9),
            "80m",
            live="send webhooks to a receiver that answers 500",
        ),
        Alert(
            "FfapiWebhookEndpointsDisabled",
            "info",
            "1m",
            "sum by (reason) (increase(ffapi_webhook_endpoints_disabled_total[1h])) > 0",
            "Webhook endpoints were disabled",
            "Their receivers failed for too long, or answered 410.",
            {'ffapi_webhook_endpoints_disabled_total{reason="failing"}': "0+1x90"},
            {'ffapi_webhook_endpoints_disabled_total{reason="failing"}': "2+0x90"},
            "80m",
            {"reason": "failing"},
            "send webhooks to a receiver that answers 410",
        ),
    ],
)
