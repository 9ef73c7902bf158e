"""Alerts on the processes of a service, its log and its host."""

from .rules import Alert, Group

ROLES = ["gateway", "projector", "conductor", "worker"]


def missing(role):
    there = f'target_info{{job="ffapi",service_name=~"ffapi-{role}|ffapi"}}'
    return f'label_replace(absent({there}), "role", "{role}", "", "")'


def info(*roles):
    return {
        f'target_info{{job="ffapi",service_name="ffapi-{role}",instance="{role}:9464"}}': "1+0x40" for role in roles
    }


PROCESSES = Group(
    "processes",
    [
        Alert(
            "FfapiTargetDown",
            "critical",
            "2m",
            'up{job="ffapi"} == 0',
            "{{ $labels.instance }} shows no metrics",
            "Prometheus has not reached the process for two minutes: it is dead, frozen or cut off.",
            {
                'up{job="ffapi",instance="worker:9464"}': "1+0x10 0+0x30",
                'up{job="ffapi",instance="gateway:9464"}': "1+0x40",
            },
            {
                'up{job="ffapi",instance="worker:9464"}': "1+0x28 0 1+0x10",
                'up{job="node",instance="worker:9100"}': "0+0x40",
            },
            labels={"job": "ffapi", "instance": "worker:9464"},
            live="kill the worker",
        ),
        Alert(
            "FfapiRoleMissing",
            "critical",
            "5m",
            "\nor ".join(missing(role) for role in ROLES),
            "No {{ $labels.role }} is running",
            "No process that Prometheus reaches has this role.",
            info("gateway", "projector", "conductor"),
            info(*ROLES),
            labels={"job": "ffapi", "role": "worker"},
            live="kill the worker",
        ),
        Alert(
            "FfapiNotReady",
            "critical",
            "2m",
            'probe_success{job="ffapi-ready"} == 0',
            "{{ $labels.instance }} is not ready",
            "GET /health/ready of the gateway does not answer 200: a load balancer sends it no requests.",
            {'probe_success{job="ffapi-ready",instance="gateway:8080"}': "0+0x40"},
            {'probe_success{job="ffapi-ready",instance="gateway:8080"}': "1+0x40"},
            labels={"job": "ffapi-ready", "instance": "gateway:8080"},
            live="freeze NATS",
        ),
        Alert(
            "FfapiNoActingConductor",
            "critical",
            "2m",
            "sum(ffapi_conductor_acting) < 1 or absent(ffapi_conductor_acting)",
            "No conductor acts",
            "Jobs are accepted and not released, webhooks are not sent, nothing is cleaned up.",
            {
                'ffapi_conductor_acting{instance="a:9464"}': "0+0x40",
                'ffapi_conductor_acting{instance="b:9464"}': "0+0x40",
            },
            {
                'ffapi_conductor_acting{instance="a:9464"}': "0+0x40",
                'ffapi_conductor_acting{instance="b:9464"}': "1+0x40",
            },
            live="stop the conductor",
        ),
        Alert(
            "FfapiSeveralActingConductors",
            "critical",
            "5m",
            "sum(ffapi_conductor_acting) > 1",
            "Several conductors believe that they act",
            "For longer than a takeover lasts. The log rejects double releases, but figures of the queue are wrong.",
            {
                'ffapi_conductor_acting{instance="a:9464"}': "1+0x40",
                'ffapi_conductor_acting{instance="b:9464"}': "1+0x40",
            },
            {
                'ffapi_conductor_acting{instance="a:9464"}': "1+0x26 0+0x20",
                'ffapi_conductor_acting{instance="b:9464"}': "0+0x25 1+0x20",
            },
            live="not caused: the lease of a conductor prevents it",
        ),
        Alert(
            "FfapiRestarts",
            "warning",
            "1m",
            'changes(process_start_time_seconds{job="ffapi"}[15m]) > 2',
            "{{ $labels.instance }} starts again and again",
            "The process started more than twice within 15 minutes.",
            {'process_start_time_seconds{job="ffapi",instance="worker:9464"}': "0+60x40"},
            {'process_start_time_seconds{job="ffapi",instance="worker:9464"}': "100+0x20 200+0x20"},
            labels={"job": "ffapi", "instance": "worker:9464"},
            live="restart the worker again and again",
        ),
        Alert(
            "FfapiVersionsDiffer",
            "warning",
            "1h",
            "count(count by (version) (ffapi_build_info)) > 1",
            "Processes of different versions run",
            "For an hour: an upgrade was not finished.",
            {
                'ffapi_build_info{instance="a",version="0.1.0"}': "1+0x200",
                'ffapi_build_info{instance="b",version="0.2.0"}': "1+0x200",
            },
            {
                'ffapi_build_info{instance="a",version="0.2.0"}': "1+0x200",
                'ffapi_build_info{instance="b",version="0.2.0"}': "1+0x200",
            },
            "2h",
            live="not caused: a check has one version",
        ),
        Alert(
            "FfapiFileDescriptorsLow",
            "warning",
            "5m",
            'process_open_fds{job="ffapi"} / process_max_fds{job="ffapi"} > 0.8',
            "{{ $labels.instance }} has few file descriptors left",
            "More than four fifths of the process's limit are in use.",
            {
                'process_open_fds{job="ffapi",instance="g"}': "900+0x40",
                'process_max_fds{job="ffapi",instance="g"}': "1024+0x40",
            },
            {
                'process_open_fds{job="ffapi",instance="g"}': "100+0x40",
                'process_max_fds{job="ffapi",instance="g"}': "1024+0x40",
            },
            labels={"job": "ffapi", "instance": "g"},
            live="lower the limit of a gateway (prlimit)",
        ),
        Alert(
            "FfapiCertificateExpires",
            "warning",
            "1h",
            "probe_ssl_earliest_cert_expiry - time() < 21 * 86400",
            "The certificate of {{ $labels.instance }} expires",
            "In less than three weeks.",
            {'probe_ssl_earliest_cert_expiry{instance="https://api"}': "86400+0x200"},
            {'probe_ssl_earliest_cert_expiry{instance="https://api"}': "8640000+0x200"},
            "2h",
            {"instance": "https://api"},
            "serve a certificate that is valid for a day",
        ),
        Alert(
            "FfapiSandboxWeakened",
            "warning",
            "5m",
            'ffapi_sandbox_info{level!~"landlock.*"} == 1',
            "Media children of {{ $labels.instance }} are not isolated by Landlock",
            'The worker runs with worker.sandbox = "seccomp-only": files of the worker\'s user are within reach of a media '
            "child that is taken over.",
            {'ffapi_sandbox_info{instance="w",level="seccomp only"}': "1+0x40"},
            {'ffapi_sandbox_info{instance="w",level="landlock V7 and seccomp"}': "1+0x40"},
            labels={"instance": "w", "level": "seccomp only"},
            live='start a worker with worker.sandbox = "seccomp-only"',
        ),
    ],
)

APPENDS = "ffapi_log_append_duration_seconds"
LOG = Group(
    "log",
    [
        Alert(
            "FfapiNatsDisconnected",
            "critical",
            "1m",
            "ffapi_nats_connected == 0",
            "{{ $labels.instance }} has no connection to NATS",
            "Nothing can be written or followed by this process.",
            {'ffapi_nats_connected{instance="g"}': "1+0x5 0+0x40"},
            {'ffapi_nats_connected{instance="g"}': "1+0x40"},
            labels={"instance": "g"},
            live="kill NATS",
        ),
        Alert(
            "FfapiNatsConnectionUnstable",
            "warning",
            "1m",
            "increase(ffapi_nats_disconnections_total[30m]) > 3",
            "{{ $labels.instance }} loses its connection to NATS again and again",
            "More than three times in half an hour.",
            {'ffapi_nats_disconnections_total{instance="g"}': "0+1x40"},
            {'ffapi_nats_disconnections_total{instance="g"}': "1+0x40"},
            labels={"instance": "g"},
            live="kill NATS five times",
        ),
        Alert(
            "FfapiStreamReplicasStale",
            "warning",
            "5m",
            "min by (stream) (ffapi_stream_current_replicas) < max by (stream) (ffapi_stream_replicas)",
            "{{ $labels.stream }} has fewer current replicas than it should have",
            "A server that stores the stream is away or catching up. The loss of another one may stop writes.",
            {
                'ffapi_stream_replicas{stream="EVENTS",instance="g"}': "3+0x40",
                'ffapi_stream_current_replicas{stream="EVENTS",instance="g"}': "3+0x5 2+0x40",
            },
            {
                'ffapi_stream_replicas{stream="EVENTS",instance="g"}': "3+0x40",
                'ffapi_stream_current_replicas{stream="EVENTS",instance="g"}': "3+0x40",
            },
            labels={"stream": "EVENTS"},
            live="not caused: the fleet has one NATS server",
        ),
        Alert(
            "FfapiNatsSlowConsumer",
            "warning",
            "1m",
            "increase(ffapi_nats_slow_consumers_total[15m]) > 0",
            "{{ $labels.instance }} does not keep up with its subscriptions",
            "NATS dropped messages. Events of the log are read again; progress and presence are lost until the next message.",
            {'ffapi_nats_slow_consumers_total{instance="g"}': "0+1x40"},
            {'ffapi_nats_slow_consumers_total{instance="g"}': "2+0x40"},
            labels={"instance": "g"},
            live="not caused: needs a process that is overloaded for long",
        ),
        Alert(
            "FfapiAppendsFail",
            "critical",
            "2m",
            f'sum(rate({APPENDS}_count{{outcome="unavailable"}}[5m])) / sum(rate({APPENDS}_count[5m])) > 0.05',
            "Decisions cannot be appended to the log",
            "More than 5 % of appends failed: submissions are answered with 503.",
            {
                f'{APPENDS}_count{{outcome="unavailable"}}': "0+10x40",
                f'{APPENDS}_count{{outcome="appended"}}': "0+10x40",
            },
            {
                f'{APPENDS}_count{{outcome="conflict"}}': "0+10x40",
                f'{APPENDS}_count{{outcome="appended"}}': "0+10x40",
            },
            live="not caused: without NATS gateways reject requests before they append",
        ),
        Alert(
            "FfapiAppendsSlow",
            "warning",
            "10m",
            f'histogram_quantile(0.99, sum by (le) (rate({APPENDS}_bucket{{outcome="appended"}}[5m]))) > 0.5',
            "Appends to the log are slow",
            "The slowest hundredth takes more than half a second: every write waits for it.",
            {
                f'{APPENDS}_bucket{{outcome="appended",le="0.5"}}': "0+10x40",
                f'{APPENDS}_bucket{{outcome="appended",le="1"}}': "0+100x40",
                f'{APPENDS}_bucket{{outcome="appended",le="+Inf"}}': "0+100x40",
            },
            {
                f'{APPENDS}_bucket{{outcome="appended",le="0.005"}}': "0+100x40",
                f'{APPENDS}_bucket{{outcome="appended",le="1"}}': "0+100x40",
                f'{APPENDS}_bucket{{outcome="appended",le="+Inf"}}': "0+100x40",
            },
            live="freeze NATS for seconds while clients submit jobs",
        ),
        Alert(
            "FfapiAppendQueueLong",
            "warning",
            "5m",
            "ffapi_log_append_queue > 1000",
            "Decisions wait to be appended in {{ $labels.instance }}",
            "The log does not keep up with this process.",
            {'ffapi_log_append_queue{instance="g"}': "5000+0x40"},
            {'ffapi_log_append_queue{instance="g"}': "10+0x40"},
            labels={"instance": "g"},
            live="not caused: needs thousands of concurrent requests",
        ),
        Alert(
            "FfapiConflictsHigh",
            "warning",
            "15m",
            f"sum(rate(ffapi_log_conflicts_total[5m])) / sum(rate({APPENDS}_count[5m])) > 0.2",
            "Many decisions conflict",
            "More than a fifth of appends met a newer decision of the same aggregate.",
            {"ffapi_log_conflicts_total": "0+50x40", f'{APPENDS}_count{{outcome="appended"}}': "0+100x40"},
            {"ffapi_log_conflicts_total": "0+1x40", f'{APPENDS}_count{{outcome="appended"}}': "0+100x40"},
            live="not caused: needs many clients that change one account at a time",
        ),
    ],
)

LEFT = 'node_filesystem_avail_bytes{fstype!~"squashfs|iso9660|ramfs"} / node_filesystem_size_bytes'


def disk(free, **more):
    labels = ",".join(
        f'{name}="{value}"'
        for name, value in {
            "instance": "n",
            "device": "/dev/vda",
            "fstype": "ext4",
            "mountpoint": "/data",
            **more,
        }.items()
    )
    return {f"node_filesystem_avail_bytes{{{labels}}}": free, f"node_filesystem_size_bytes{{{labels}}}": "100+0x800"}


DISK = {"instance": "n", "device": "/dev/vda", "fstype": "ext4", "mountpoint": "/data"}
HOST = Group(
    "host",
    [
        Alert(
            "FfapiDiskSpaceLow",
            "warning",
            "10m",
            f"{LEFT} < 0.15",
            "{{ $labels.mountpoint }} of {{ $labels.instance }} is nearly full",
            "Less than 15 % is free.",
            disk("10+0x800"),
            disk("50+0x800"),
            labels=DISK,
            live="fill a file system of 16 MB",
        ),
        Alert(
            "FfapiDiskSpaceCritical",
            "critical",
            "2m",
            f"{LEFT} < 0.05",
            "{{ $labels.mountpoint }} of {{ $labels.instance }} is full",
            "Less than 5 % is free. NATS, Postgres or a worker that cannot write stops.",
            disk("2+0x800"),
            disk("10+0x800"),
            labels=DISK,
            live="fill a file system of 16 MB",
        ),
        Alert(
            "FfapiDiskFillsSoon",
            "warning",
            "1h",
            f'predict_linear(node_filesystem_avail_bytes{{fstype!~"squashfs|iso9660|ramfs"}}[6h], 24 * 3600) < 0\nand {LEFT} < 0.4',
            "{{ $labels.mountpoint }} of {{ $labels.instance }} will be full within a day",
            "As the last six hours went.",
            disk("100-0.18x500"),
            disk("30+0x800"),
            "8h",
            DISK,
            "not caused: takes hours",
        ),
        Alert(
            "FfapiHostMemoryLow",
            "warning",
            "10m",
            "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.1",
            "{{ $labels.instance }} has little memory left",
            "Less than a tenth is available.",
            {
                'node_memory_MemAvailable_bytes{instance="n"}': "5+0x40",
                'node_memory_MemTotal_bytes{instance="n"}': "100+0x40",
            },
            {
                'node_memory_MemAvailable_bytes{instance="n"}': "50+0x40",
                'node_memory_MemTotal_bytes{instance="n"}': "100+0x40",
            },
            labels={"instance": "n"},
            live="not caused: it would end other processes of the machine",
        ),
    ],
    test_step="10m",
)
