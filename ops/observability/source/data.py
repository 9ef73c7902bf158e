"""Alerts on read models, Postgres, stores and access."""

from .rules import Alert, Group

STATEMENTS = "db_client_operation_duration_seconds"
LAG = 'ffapi_projection_lag_seconds{projection="job_list"}'
JOB_LIST = {"projection": "job_list"}


def state(name, instance="a", values="1+0x40"):
    return {f'ffapi_projection_state{{projection="job_list",state="{name}",instance="{instance}"}}': values}


READ_MODELS = Group(
    "read-models",
    [
        Alert(
            "FfapiProjectionLag",
            "warning",
            "5m",
            "max by (projection) (ffapi_projection_lag_seconds) > 30",
            "The read model {{ $labels.projection }} lags",
            "Lists and searches are more than 30 s old.",
            {LAG: "60+0x40"},
            {LAG: "0+0x40"},
            labels=JOB_LIST,
            live="kill Postgres and submit a job",
        ),
        Alert(
            "FfapiProjectionStalled",
            "critical",
            "5m",
            "max by (projection) (ffapi_projection_lag_seconds) > 300",
            "The read model {{ $labels.projection }} stands still",
            "It is more than five minutes old.",
            {LAG: "400+0x40"},
            {LAG: "60+0x40"},
            labels=JOB_LIST,
            live="not caused: takes minutes; FfapiProjectionLag has the same cause",
        ),
        Alert(
            "FfapiProjectionRetrying",
            "critical",
            "2m",
            'ffapi_projection_state{state="retrying"} == 1',
            "The read model {{ $labels.projection }} fails again and again",
            "Its writer begins again after each failure.",
            state("retrying"),
            state("retrying", values="0+0x40"),
            labels={**JOB_LIST, "state": "retrying", "instance": "a"},
            live="kill Postgres and submit a job",
        ),
        Alert(
            "FfapiProjectionDiverged",
            "critical",
            "1m",
            'ffapi_projection_state{state="diverged"} == 1',
            "The read model {{ $labels.projection }} is not of this log",
            "Its rows come from another log; its writer stopped.",
            state("diverged"),
            state("diverged", values="0+0x40"),
            labels={**JOB_LIST, "state": "diverged", "instance": "a"},
            live="not caused: needs a log that was replaced",
        ),
        Alert(
            "FfapiProjectionUnwritten",
            "critical",
            "5m",
            'sum by (projection) (ffapi_projection_state{state=~"running|retrying|diverged"}) < 1',
            "No process writes the read model {{ $labels.projection }}",
            "Every projector waits for another one.",
            {**state("waiting"), **state("running", values="0+0x40")},
            {**state("waiting"), **state("running", values="0+0x40"), **state("running", "b")},
            labels=JOB_LIST,
            live="not caused: needs a lock that nobody releases",
        ),
        Alert(
            "FfapiProjectionParked",
            "warning",
            "5m",
            "max by (projection) (ffapi_projection_parked_messages) > 0",
            "The read model {{ $labels.projection }} skips messages",
            "It could not apply them; what they say is missing until it is rebuilt.",
            {'ffapi_projection_parked_messages{projection="job_list"}': "1+0x40"},
            {'ffapi_projection_parked_messages{projection="job_list"}': "0+0x40"},
            labels=JOB_LIST,
            live="not caused: needs events that cannot be read",
        ),
        Alert(
            "FfapiArchiveSigningFails",
            "critical",
            "5m",
            'sum by (instance) (increase(ffapi_archive_anchors_total{outcome="failed"}[10m])) > 0\n'
            'unless on (instance) sum by (instance) (increase(ffapi_archive_anchors_total{outcome="signed"}[10m])) > 0',
            "The archive's head cannot be signed",
            "A rewritten audit trail would not be detected from now on.",
            {'ffapi_archive_anchors_total{outcome="failed",instance="p"}': "0+1x90"},
            {
                'ffapi_archive_anchors_total{outcome="failed",instance="p"}': "0+1x90",
                'ffapi_archive_anchors_total{outcome="signed",instance="p"}': "0+1x90",
            },
            labels={"instance": "p"},
            live="not caused: takes ten minutes",
        ),
        Alert(
            "FfapiReadsTimeOut",
            "warning",
            "5m",
            'sum(rate(ffapi_read_wait_duration_seconds_count{outcome="timed_out"}[5m])) > 0.1',
            "Reads do not wait for the log any more",
            "Gateways gave up waiting for the end of the log: what clients read may be older than what they wrote.",
            {'ffapi_read_wait_duration_seconds_count{outcome="timed_out"}': "0+60x40"},
            {'ffapi_read_wait_duration_seconds_count{outcome="received"}': "0+60x40"},
            live="not caused: gateways reject keys before",
        ),
    ],
)


def statements(failed, all_):
    return {f'{STATEMENTS}_count{{error_type="timeout"}}': f"0+{failed}x40", f"{STATEMENTS}_count": f"0+{all_}x40"}


POSTGRES = Group(
    "postgres",
    [
        Alert(
            "FfapiPostgresStatementsFail",
            "critical",
            "2m",
            f'sum(rate({STATEMENTS}_count{{error_type!=""}}[5m])) / sum(rate({STATEMENTS}_count[5m])) > 0.05',
            "Statements in Postgres fail",
            "More than 5 % of them. Read models and webhooks stand still; jobs do not.",
            statements(10, 90),
            statements(1, 99),
            live="kill Postgres",
        ),
        Alert(
            "FfapiPostgresSlow",
            "warning",
            "10m",
            f"histogram_quantile(0.99, sum by (le) (rate({STATEMENTS}_bucket[5m]))) > 1",
            "Statements in Postgres are slow",
            "The slowest hundredth takes more than a second, with the wait for a connection.",
            {
                f'{STATEMENTS}_bucket{{le="1"}}': "0+50x40",
                f'{STATEMENTS}_bucket{{le="2.5"}}': "0+100x40",
                f'{STATEMENTS}_bucket{{le="+Inf"}}': "0+100x40",
            },
            {
                f'{STATEMENTS}_bucket{{le="0.1"}}': "0+100x40",
                f'{STATEMENTS}_bucket{{le="1"}}': "0+100x40",
                f'{STATEMENTS}_bucket{{le="+Inf"}}': "0+100x40",
            },
            live="freeze Postgres for seconds while clients read",
        ),
        Alert(
            "FfapiPostgresPoolExhausted",
            "warning",
            "5m",
            'sum by (instance, db_client_connection_pool_name) (db_client_connection_count{db_client_connection_state="used"})\n'
            "/ sum by (instance, db_client_connection_pool_name) (db_client_connection_max) >= 1",
            "All connections of {{ $labels.instance }} to Postgres are in use",
            "The pool {{ $labels.db_client_connection_pool_name }} has none left; statements wait.",
            {
                'db_client_connection_count{instance="g",db_client_connection_pool_name="requests",db_client_connection_state="used"}': "16+0x40",
                'db_client_connection_max{instance="g",db_client_connection_pool_name="requests"}': "16+0x40",
            },
            {
                'db_client_connection_count{instance="g",db_client_connection_pool_name="requests",db_client_connection_state="used"}': "3+0x40",
                'db_client_connection_max{instance="g",db_client_connection_pool_name="requests"}': "16+0x40",
            },
            labels={"instance": "g", "db_client_connection_pool_name": "requests"},
            live="not caused: needs statements that hang",
        ),
        Alert(
            "FfapiPostgresDown",
            "critical",
            "1m",
            'pg_up == 0 or up{job="postgres"} == 0',
            "Postgres of {{ $labels.instance }} is down",
            "The exporter cannot connect to it, or is down itself.",
            {'pg_up{instance="p"}': "0+0x40"},
            {'pg_up{instance="p"}': "1+0x40"},
            labels={"instance": "p"},
            live="kill Postgres",
        ),
        Alert(
            "FfapiPostgresConnectionsHigh",
            "warning",
            "5m",
            "sum by (instance) (pg_stat_activity_count) / max by (instance) (pg_settings_max_connections) > 0.8",
            "Postgres of {{ $labels.instance }} has few connections left",
            "More than four fifths of max_connections are in use.",
            {
                'pg_stat_activity_count{instance="p",state="idle"}': "170+0x40",
                'pg_settings_max_connections{instance="p"}': "200+0x40",
            },
            {
                'pg_stat_activity_count{instance="p",state="idle"}': "50+0x40",
                'pg_settings_max_connections{instance="p"}': "200+0x40",
            },
            labels={"instance": "p"},
            live="open connections until four fifths are in use",
        ),
    ],
)

OPERATIONS = "ffapi_storage_operation_duration_seconds"
MEDIA = {"store": "media"}


def operations(failed, done):
    return {
        f'{OPERATIONS}_count{{store="media",outcome="unavailable"}}': f"0+{failed}x40",
        f'{OPERATIONS}_count{{store="media",outcome="ok"}}': f"0+{done}x40",
    }


STORES = Group(
    "stores",
    [
        Alert(
            "FfapiStoreUnavailable",
            "critical",
            "1m",
            "max by (store) (ffapi_storage_breaker_state) > 0",
            "The store {{ $labels.store }} is away",
            "After failures in a row a process stopped asking it: uploads and downloads get 503, jobs with files there wait.",
            {'ffapi_storage_breaker_state{store="media"}': "2+0x40"},
            {'ffapi_storage_breaker_state{store="media"}': "0+0x40"},
            labels=MEDIA,
            live="stop the store while clients use it",
        ),
        Alert(
            "FfapiStoreErrors",
            "warning",
            "10m",
            f'sum by (store) (rate({OPERATIONS}_count{{outcome=~"unavailable|interrupted|denied"}}[5m]))\n'
            f"/ sum by (store) (rate({OPERATIONS}_count[5m])) > 0.05",
            "Operations on the store {{ $labels.store }} fail",
            "More than 5 % of them, after their repetitions.",
            operations(10, 90),
            operations(1, 99),
            labels=MEDIA,
            live="stop the store while clients use it",
        ),
        Alert(
            "FfapiStoreSlow",
            "warning",
            "15m",
            f'histogram_quantile(0.95, sum by (store, le) (rate({OPERATIONS}_bucket{{operation=~"stat|open"}}[5m]))) > 2',
            "The store {{ $labels.store }} is slow",
            "A twentieth of small operations takes more than two seconds.",
            {
                f'{OPERATIONS}_bucket{{store="media",operation="stat",le="1"}}': "0+50x40",
                f'{OPERATIONS}_bucket{{store="media",operation="stat",le="10"}}': "0+100x40",
                f'{OPERATIONS}_bucket{{store="media",operation="stat",le="+Inf"}}': "0+100x40",
            },
            {
                f'{OPERATIONS}_bucket{{store="media",operation="stat",le="1"}}': "0+100x40",
                f'{OPERATIONS}_bucket{{store="media",operation="stat",le="10"}}': "0+100x40",
                f'{OPERATIONS}_bucket{{store="media",operation="stat",le="+Inf"}}': "0+100x40",
            },
            labels=MEDIA,
            live="freeze the store for seconds while clients use it",
        ),
        Alert(
            "FfapiUploadsFail",
            "warning",
            "5m",
            'sum(rate(ffapi_uploads_total{outcome="failed"}[5m])) / sum(rate(ffapi_uploads_total[5m])) > 0.05',
            "Uploads cannot be stored",
            "More than 5 % of those that were received failed because of the service.",
            {
                'ffapi_uploads_total{outcome="failed"}': "0+10x40",
                'ffapi_uploads_total{outcome="accepted"}': "0+10x40",
            },
            {
                'ffapi_uploads_total{outcome="rejected"}': "0+10x40",
                'ffapi_uploads_total{outcome="accepted"}': "0+10x40",
            },
            live="not caused: uploads go to the disk of the machine",
        ),
        Alert(
            "FfapiCleanupStale",
            "warning",
            "10m",
            "time() - max(ffapi_retention_last_success_timestamp_seconds) > 3 * 3600",
            "Nothing has been cleaned up for three hours",
            "Outputs and uploads stay beyond their retention, and disks fill.",
            {"ffapi_retention_last_success_timestamp_seconds": "0+0x300"},
            {"ffapi_retention_last_success_timestamp_seconds": "0+60x300"},
            "4h",
            live="not caused: takes hours",
        ),
    ],
)

BACKUP = "ffapi_backup_last_success_timestamp_seconds"
BACKUPS = Group(
    "backups",
    [
        Alert(
            "FfapiBackupOld",
            "critical",
            "5m",
            f"time() - max({BACKUP}) > 3600",
            "No backup has been made for an hour",
            "If the servers are lost now, everything since then is lost with them.",
            {BACKUP: "0+0x120"},
            {BACKUP: "0+60x120"},
            "2h",
            live="not caused: takes an hour",
        ),
        Alert(
            "FfapiBackupsFail",
            "warning",
            "15m",
            'sum(increase(ffapi_backup_duration_seconds_count{outcome="failed"}[15m])) > 3',
            "Backups fail",
            "Several backups of the last 15 minutes failed; others may have succeeded.",
            {'ffapi_backup_duration_seconds_count{outcome="failed"}': "0+1x60"},
            {'ffapi_backup_duration_seconds_count{outcome="failed"}': "0+0x60"},
            live="not caused: the fleet of this check makes no backups",
        ),
    ],
)

REVOCATIONS = "ffapi_key_revocation_seconds_bucket"
ACCESS = Group(
    "access",
    [
        Alert(
            "FfapiCredentialsStale",
            "critical",
            "1m",
            "ffapi_credentials_age_seconds > 5",
            "{{ $labels.instance }} rejects all keys",
            "It could not confirm for longer than gateway.max_key_lag that its keys are those of the log.",
            {'ffapi_credentials_age_seconds{instance="g"}': "20+0x40"},
            {'ffapi_credentials_age_seconds{instance="g"}': "0.5+0x40"},
            labels={"instance": "g"},
            live="freeze NATS",
        ),
        Alert(
            "FfapiKeyRevocationSlow",
            "critical",
            "1m",
            f"histogram_quantile(0.99, sum by (le) (rate({REVOCATIONS}[15m]))) > 5",
            "Revoked keys are accepted for seconds",
            "Gateways learned of revocations more than five seconds later.",
            {
                f'{REVOCATIONS}{{le="5"}}': "0+1x40",
                f'{REVOCATIONS}{{le="10"}}': "0+10x40",
                f'{REVOCATIONS}{{le="+Inf"}}': "0+10x40",
            },
            {
                f'{REVOCATIONS}{{le="0.1"}}': "0+10x40",
                f'{REVOCATIONS}{{le="10"}}': "0+10x40",
                f'{REVOCATIONS}{{le="+Inf"}}': "0+10x40",
            },
            live="freeze a gateway while a key is revoked through another",
        ),
        Alert(
            "FfapiCredentialsRejected",
            "warning",
            "5m",
            'sum(rate(ffapi_credentials_rejected_total{reason!="stale"}[5m])) > 5',
            "Many requests have no valid key",
            "More than five in a second: somebody guesses keys, or a client has an old one.",
            {'ffapi_credentials_rejected_total{reason="unknown"}': "0+600x40"},
            {'ffapi_credentials_rejected_total{reason="unknown"}': "0+6x40"},
            live="send 2,000 requests with a wrong key",
        ),
        Alert(
            "FfapiLimitsReached",
            "info",
            "10m",
            "sum by (limit) (rate(ffapi_limits_reached_total[5m])) > 10",
            "Many requests reach the limit {{ $labels.limit }}",
            "More than ten in a second are rejected by it.",
            {'ffapi_limits_reached_total{limit="requests"}': "0+1200x40"},
            {'ffapi_limits_reached_total{limit="requests"}': "0+6x40"},
            labels={"limit": "requests"},
            live="send 4,000 requests with a key that is used up",
        ),
        Alert(
            "FfapiConnectionsRejected",
            "warning",
            "5m",
            "sum by (limit) (increase(ffapi_http_connections_rejected_total[5m])) > 0",
            "Connections are closed at once",
            "The limit {{ $labels.limit }} of concurrent connections is reached.",
            {'ffapi_http_connections_rejected_total{limit="total"}': "0+6x40"},
            {'ffapi_http_connections_rejected_total{limit="total"}': "3+0x40"},
            labels={"limit": "total"},
            live="open more connections than a gateway with gateway.connections = 4 accepts",
        ),
    ],
)
