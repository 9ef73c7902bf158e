"""What alerts are for, done to a running fleet."""

import contextlib
import http.client
import os
import resource
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass
from typing import Callable

import work
from stack import FFAPI, free_port, until


@dataclass
class Fault:
    title: str
    alerts: list
    # A context in which the alerts come to fire.
    caused: Callable
    # What is done afterwards, until the fleet is whole again.
    mend: Callable = lambda: None
    seconds: int = 60


def all_of(fleet, monitoring, receiver):
    yield from slow_log(fleet)
    yield from resources(fleet)
    yield from clients(fleet, monitoring)
    yield from jobs(fleet, receiver)
    yield from workers(fleet)
    yield from stores(fleet)
    yield from postgres(fleet)
    yield from nats(fleet)


def resources(fleet):
    disk = fleet.folder / "disk"

    @contextlib.contextmanager
    def full():
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "ffapi-check", disk], check=True)
        try:
            (disk / "data").write_bytes(bytes(16 * 2**20 - 2**18))
            yield
        finally:
            subprocess.run(["umount", disk], check=True)

    yield Fault("a file system of 16 MB is full", ["FfapiDiskSpaceLow", "FfapiDiskSpaceCritical"], full)

    @contextlib.contextmanager
    def few():
        pid = fleet.processes.all["gateway"].pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(list((fleet.proc("gateway") / "fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, before[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    yield Fault("a gateway has few file descriptors", ["FfapiFileDescriptorsLow"], few)


def is_ready(port, scheme):
    """Whether the gateway at a port is ready; its certificate is signed by nobody."""
    context = ssl._create_unverified_context() if scheme == "https" else None
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/health/ready", timeout=5, context=context).close()
        return True
    return False


@contextlib.contextmanager
def gateway(fleet, name, settings, scheme="http"):
    """Another gateway, and the ports of its API and its metrics."""
    port, metrics = free_port(), free_port()
    own = {"FFAPI_GATEWAY__LISTEN": f"127.0.0.1:{port}", "FFAPI_METRICS__LISTEN": f"127.0.0.1:{metrics}"}
    fleet.processes.start(name, [FFAPI, "gateway"], fleet.settings | own | settings)
    try:
        until(lambda: is_ready(port, scheme), what=f"the gateway {name}")
        yield port, metrics
    finally:
        fleet.processes.stop(name)


def send(fleet, count, key):
    """Requests with a key over a few connections."""

    def some():
        connection = http.client.HTTPConnection("127.0.0.1", fleet.port, timeout=20)
        for _ in range(count // 4):
            connection.request("GET", "/api/v1/jobs", headers={"X-API-Key": key})
            connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def clients(fleet, monitoring):
    @contextlib.contextmanager
    def guessing():
        send(fleet, 2000, "ffapi_guessed")
        yield

    yield Fault("2,000 requests have a wrong key", ["FfapiCredentialsRejected"], guessing)

    @contextlib.contextmanager
    def used_up():
        status, key = fleet.call("POST", "/api-keys", {"name": "busy", "tenant": "busy", "scopes": ["jobs:read"]})
        assert status == 201, key
        send(fleet, 4000, key["secret"])
        yield

    yield Fault("4,000 requests have a key that is used up", ["FfapiLimitsReached"], used_up)

    @contextlib.contextmanager
    def crowded():
        later = fleet.submit("/probe", {"input": "a.mp4", "not_before": "2099-01-01T00:00:00Z"})
        with gateway(fleet, "small", {"FFAPI_GATEWAY__CONNECTIONS": "16"}) as (port, metrics):
            monitoring.targets([("small", metrics)])
            until(
                lambda: monitoring.now('ffapi_http_connections_rejected_total{instance="small"}'), what="its metrics"
            )
            open_ = []
            for _ in range(30):
                open_.append(work.begun(port, f"/jobs/{later}", fleet.key, "Prefer: wait=60"))
                # Until its request is read: one without is closed in favour of a new one.
                time.sleep(0.1)
            try:
                yield
            finally:
                for connection in open_:
                    connection.close()
                monitoring.targets([])

    yield Fault("a gateway has more connections than it accepts", ["FfapiConnectionsRejected"], crowded)

    @contextlib.contextmanager
    def short():
        pem, key = fleet.folder / "tls.pem", fleet.folder / "tls.key"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=localhost",
                "-out",
                pem,
                "-keyout",
                key,
            ],
            check=True,
            capture_output=True,
        )
        tls = {"FFAPI_GATEWAY__TLS__CERTIFICATE": str(pem), "FFAPI_GATEWAY__TLS__KEY": str(key)}
        with gateway(fleet, "secure", tls, "https") as (port, _):
            monitoring.ready(
                [f"http://127.0.0.1:{fleet.port}/health/ready", f"https://127.0.0.1:{port}/health/ready"]
            )
            yield
            monitoring.ready([f"http://127.0.0.1:{fleet.port}/health/ready"])

    yield Fault("a certificate is valid for a day", ["FfapiCertificateExpires"], short)

    @contextlib.contextmanager
    def deaf():
        status, key = fleet.call("POST", "/api-keys", {"name": "late", "scopes": ["jobs:read"]})
        assert status == 201, key
        with gateway(fleet, "other", {}) as (port, _):
            other = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            fleet.processes.send("gateway", signal.SIGSTOP)
            try:
                other.request("POST", f"/api/v1/api-keys/{key['id']}/revoke", headers={"X-API-Key": fleet.key})
                answer = other.getresponse()
                assert answer.status == 200, answer.read()
                # The time that the alert is about.
                time.sleep(7)
            finally:
                fleet.processes.send("gateway", signal.SIGCONT)
            yield

    yield Fault("a gateway is frozen while a key is revoked", ["FfapiKeyRevocationSlow"], deaf)


def jobs(fleet, receiver):
    @contextlib.contextmanager
    def failing():
        for number in range(20):
            work.hook(fleet, receiver.url(f"/broken{number}"), ["job.failed"])
        work.hook(fleet, receiver.url("/gone"), ["job.failed"])
        work.failing(fleet, 20)
        yield

    yield Fault(
        "20 jobs fail, and webhooks about them too",
        ["FfapiJobFailuresHigh", "FfapiWebhooksFail", "FfapiWebhookEndpointsDisabled"],
        failing,
    )

    @contextlib.contextmanager
    def away():
        fleet.submit("/probe", {"input": f"https://127.0.0.1:{free_port()}/a.mp4"})
        yield

    yield Fault("the host of a job's input is away", ["FfapiDeadLetters"], away, seconds=150)


SLOW = [{"type": "transcode", "video_codec": "hevc", "preset": "veryslow", "width": 1920}]


def workers(fleet):
    upload = fleet.upload()

    def slow(number):
        body = {"input": upload, "output": f"slow{number}.mp4", "operations": SLOW, "overwrite": "replace"}
        return fleet.submit("/convert", body)

    def cancel_all():
        for page in ("queued", "processing"):
            for job in fleet.call("GET", f"/jobs?status={page}&limit=100")[1]["data"]:
                fleet.call("POST", f"/jobs/{job['id']}/cancel", {})

    @contextlib.contextmanager
    def many():
        for number in range(8):
            slow(number)
        yield

    yield Fault("eight jobs wait for two slots", ["FfapiWorkersSaturated"], many)

    @contextlib.contextmanager
    def killed():
        fleet.processes.stop("worker", signal.SIGKILL)
        yield

    yield Fault(
        "the worker is killed while it works",
        ["FfapiTargetDown", "FfapiRoleMissing", "FfapiNoWorkers", "FfapiPoolWithoutWorkers", "FfapiAttemptsLost"],
        killed,
        cancel_all,
    )

    @contextlib.contextmanager
    def again():
        weak = {"FFAPI_WORKER__SANDBOX": "seccomp-only"}
        for _ in range(4):
            fleet.start_role("worker", weak)
            until(lambda: fleet.scraped("worker"), what="the worker's metrics")
            time.sleep(2.5)  # Prometheus sees each start.
            fleet.processes.stop("worker")
        fleet.start_role("worker", weak)
        yield

    def strong():
        fleet.processes.stop("worker")
        fleet.start_role("worker")
        fleet.until_ready()

    yield Fault(
        "the worker restarts again and again, without Landlock",
        ["FfapiRestarts", "FfapiSandboxWeakened"],
        again,
        strong,
    )

    @contextlib.contextmanager
    def stopped():
        fleet.processes.stop("conductor")
        yield

    def conducted():
        fleet.start_role("conductor")
        until(lambda: fleet.scraped("conductor"), what="the conductor's metrics")

    yield Fault("the conductor is stopped", ["FfapiNoActingConductor"], stopped, conducted)


def stores(fleet):
    body = {"input": fleet.upload(), "output": "remote://kept.mp4", "operations": work.QUICK}
    job = fleet.submit("/convert", body)
    assert fleet.ended(job) == "completed"
    read = ("GET", f"/jobs/{job}/outputs/kept.mp4")

    @contextlib.contextmanager
    def away():
        fleet.processes.stop("store")
        # Those that have begun when the breaker opens are failures too.
        with work.Traffic(fleet, read, clients=32, pause=0.5):
            yield

    def back():
        fleet.processes.again("store")
        until(lambda: fleet.call(*read)[0] == 200, what="the store")

    yield Fault("the store is away", ["FfapiStoreUnavailable", "FfapiStoreErrors"], away, back)

    @contextlib.contextmanager
    def slow():
        with work.Traffic(fleet, read, clients=4):
            for _ in range(2):
                fleet.processes.send("store", signal.SIGSTOP)
                time.sleep(4)
                fleet.processes.send("store", signal.SIGCONT)
                time.sleep(1)
            yield

    yield Fault("the store is frozen for seconds", ["FfapiStoreSlow"], slow)


def postgres(fleet):
    @contextlib.contextmanager
    def connected():
        command = ["psql", "-h", fleet.socket, "-U", fleet.postgres_user, "postgres", "-c", "select pg_sleep(60)"]
        open_ = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(62)]
        try:
            yield
        finally:
            for process in open_:
                process.kill()
                process.wait()

    yield Fault(
        "more than four fifths of Postgres' connections are in use", ["FfapiPostgresConnectionsHigh"], connected
    )

    def signal_all(which):
        """Signals the server and all its processes."""
        server = fleet.proc("postgres")
        children = (server / f"task/{server.name}/children").read_text().split()
        for process in [int(server.name), *map(int, children)]:
            os.kill(process, which)

    @contextlib.contextmanager
    def frozen():
        with work.Traffic(fleet, ("GET", "/jobs"), clients=24, pause=1):
            for _ in range(6):
                signal_all(signal.SIGSTOP)
                time.sleep(3)
                signal_all(signal.SIGCONT)
                time.sleep(1)
            yield

    yield Fault("Postgres is frozen for seconds", ["FfapiPostgresSlow"], frozen)

    @contextlib.contextmanager
    def killed():
        fleet.processes.stop("postgres", signal.SIGQUIT)
        fleet.submit("/probe", {"input": "missing.mp4"})
        with work.Traffic(fleet, ("GET", "/queue"), ("GET", "/jobs"), clients=4):
            yield

    def back():
        fleet.processes.again("postgres")
        fleet.until_ready()

    yield Fault(
        "Postgres is dead",
        ["FfapiPostgresDown", "FfapiPostgresStatementsFail", "FfapiProjectionRetrying", "FfapiProjectionLag"],
        killed,
        back,
        seconds=90,
    )


SUBMIT = ("POST", "/probe", {"input": "missing.mp4"})


def slow_log(fleet):
    @contextlib.contextmanager
    def hesitant():
        with work.Traffic(fleet, SUBMIT, clients=16, pause=0.02):
            for _ in range(6):
                # For less time than gateways trust their keys without news of the log.
                fleet.processes.send("nats-server", signal.SIGSTOP)
                time.sleep(3)
                fleet.processes.send("nats-server", signal.SIGCONT)
                time.sleep(0.5)
            yield

    yield Fault("NATS is frozen for seconds", ["FfapiAppendsSlow", "FfapiLatencyMeanHigh"], hesitant)


def nats(fleet):
    @contextlib.contextmanager
    def frozen():
        fleet.processes.send("nats-server", signal.SIGSTOP)
        with work.Traffic(fleet, SUBMIT, ("GET", "/jobs"), clients=16, pause=0.5):
            yield

    def back():
        fleet.processes.send("nats-server", signal.SIGCONT)
        fleet.until_ready()

    yield Fault(
        "NATS is frozen",
        ["FfapiNotReady", "FfapiCredentialsStale", "FfapiErrorBudgetBurnsFast", "FfapiErrorBudgetBurnsSlowly"],
        frozen,
        back,
        seconds=120,
    )

    @contextlib.contextmanager
    def killed():
        for _ in range(4):
            fleet.processes.stop("nats-server", signal.SIGKILL)
            time.sleep(2)  # Clients see that it is away.
            fleet.processes.again("nats-server")
            fleet.until_ready()
            time.sleep(2)  # Prometheus sees each loss.
        fleet.processes.stop("nats-server", signal.SIGKILL)
        yield

    def alive():
        fleet.processes.again("nats-server")
        fleet.until_ready()

    yield Fault("NATS is killed five times", ["FfapiNatsDisconnected", "FfapiNatsConnectionUnstable"], killed, alive)
