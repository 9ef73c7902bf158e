"""The cluster: three NATS servers, Postgres with a standby, and ffapi's roles, each on a machine of its own."""

import http.client
import subprocess
import time

import disk
import jetstream
import servers
import shipped
from network import Network
from process import Process

ROLES = ("projector-1", "conductor-1", "worker-1", "worker-2", "gateway-1", "gateway-2")
TENANT = "load"
# Limits that the load does not reach, as they are not what is tried here.
LIMITS = {
    f"FFAPI_TIERS__ENTERPRISE__{name}": value
    for name, value in {"REQUESTS_PER_HOUR": 10**9, "KEYS": 10**6, "WEBHOOKS": 10**6, "MONTHLY_MINUTES": 10**7}.items()
}
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def until(condition, seconds, what):
    """Polls until the condition returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about within {seconds} s")
        time.sleep(0.2)


class Fleet:
    """Starts everything. `binary` is the folder of `ffapi` and `ffapi-media-child`."""

    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary
        self.network = Network(folder)
        self.processes, self.disks = {}, {}
        # Processes that a fault keeps down; `supervise` starts the others again.
        self.down = set()
        self.restarts = []
        self.variables = shipped.secrets() | {"FFAPI_TAG": "latest"}
        machines = {name: self.network.add(name) for name in (*servers.NATS, "postgres-1", "postgres-2", *ROLES)}
        self.primary = "postgres-1"
        self.network.name({"postgres": self.primary})
        program = disk.build(folder)
        for name in (*servers.NATS, "postgres-1", "postgres-2"):
            self.disks[name] = disk.Disk(program, folder / name)
        for name in servers.NATS:
            self.processes[name] = servers.nats(name, machines[name], self.disks[name], self.variables, folder)
            self.processes[name].start()
        self.start_postgres(machines)
        self.prepare(machines)
        for name in ROLES:
            self.processes[name] = self.role(name, machines[name])
            self.processes[name].start()
        until(self.ready, 120, "readiness of both gateways")

    def start_postgres(self, machines):
        password = self.variables["POSTGRES_PASSWORD"]
        self.postgres = {
            name: servers.Postgres(name, machines[name], self.disks[name], password, self.folder)
            for name in ("postgres-1", "postgres-2")
        }
        primary, standby = self.postgres.values()
        primary.create()
        primary.process.start()
        until(lambda: primary.query("SELECT 1", "postgres"), 60, "Postgres")
        primary.query("CREATE DATABASE ffapi", "postgres")
        standby.follow(primary)
        standby.process.start()
        self.processes |= {name: server.process for name, server in self.postgres.items()}
        until(lambda: standby.query("SELECT pg_is_in_recovery()") == "t", 60, "the standby")

    def settings(self, role):
        """What the compose file gives a role, with a folder that all share in the place of a bucket."""
        given = shipped.environment("x-common", self.variables)
        # The operator has the credentials of `topology`, and those of Postgres.
        given |= shipped.environment("  topology" if role == "operate" else f"  {role}", self.variables)
        storage = self.folder / "storage"
        return given | LIMITS | {"FFAPI_STORAGE__ROOT": storage, "FFAPI_GATEWAY__LISTEN": "0.0.0.0:8080"}

    def operate(self, machine, *arguments, role="topology"):
        """Runs a command of an operator on a machine, and returns what it prints."""
        secrets = {name: value for name, value in self.variables.items() if name.startswith("FFAPI_SECRETS")}
        env = self.settings(role) | secrets | {"FFAPI_METRICS__LISTEN": "", "PATH": "/usr/bin:/bin"}
        env |= {"FFAPI_TOOLS": shipped.ROOT / ".tools/bin"}
        command = self.network.machines[machine].command([self.binary / "ffapi", *map(str, arguments)])
        env = {name: str(value) for name, value in env.items()}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"ffapi {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
        return done.stdout

    def prepare(self, machines):
        """Streams with replicas, schema, keys: docs/deploy/compose.md."""
        until(self.has_jetstream, 60, "JetStream")
        with self.operator() as nats:
            self.variables["FFAPI_SECRETS__VERIFYING_KEY"] = ""
            key = self.operate("gateway-1", "audit", "key")
            self.variables["FFAPI_SECRETS__VERIFYING_KEY"] = key.strip()
            until(lambda: self.has_topology(nats), 60, "the topology")
            until(lambda: servers.current(nats), 60, "three replicas")
        self.operate("gateway-1", "migrate")
        scopes = [part for scope in ("jobs:read", "jobs:write", "keys:manage") for part in ("--scope", scope)]
        made = self.operate("gateway-1", "keys", "create", "--tenant", TENANT, "--tier", "enterprise", *scopes)
        (self.folder / "key.txt").write_text(made)
        self.key = next(word for word in made.split() if len(word) > 30 and not word.startswith("key_"))

    def has_jetstream(self):
        try:
            with self.operator() as nats:
                return bool(nats.api("INFO"))
        except (TypeError, OSError, jetstream.ApiError):
            return False

    def has_topology(self, nats):
        """Applies the topology; it may be repeated where a busy cluster does not answer in time."""
        try:
            self.apply_topology(nats)
            return True
        except RuntimeError as error:
            print(error)
            return False

    def apply_topology(self, nats):
        """Streams with three replicas. Builds from before the option had to be helped, as documented then."""
        if "--replicas" in self.operate("gateway-1", "topology", "apply", "--help"):
            self.operate("gateway-1", "topology", "apply", "--replicas", len(servers.NATS))
        else:
            self.operate("gateway-1", "topology", "apply")
            servers.replicate(nats)

    def operator(self):
        """A connection to any NATS server, as the operator; `None` without one."""
        for name in servers.NATS:
            try:
                address = self.network.machines[name].address
                return jetstream.Connection(address, "operator", self.variables["FFAPI_NATS_OPERATOR"])
            except OSError:
                continue
        return None

    def role(self, name, machine):
        role = name.rsplit("-", 1)[0]
        env = self.settings(role) | {"FFAPI_WORKER__SLOTS": 1, "RUST_LOG": "info"}
        return Process(name, machine, [self.binary / "ffapi", role], env, self.folder, faketime=FAKETIME)

    def supervise(self, stopping):
        """
        What an init system and NATS' Helm chart do: starts processes again that have ended, and NATS servers whose
        JetStream is disabled, as after a full disk. Returns once `stopping` is set.
        """
        unhealthy = dict.fromkeys(servers.NATS, 0)
        while not stopping.wait(1):
            for name, process in self.processes.items():
                if name in self.down:
                    continue
                if name in unhealthy:
                    unhealthy[name] = 0 if servers.is_alive(process.machine) else unhealthy[name] + 1
                    if unhealthy[name] > 20:
                        unhealthy[name] = 0
                        process.kill()
                # In this order: a fault notes what it keeps down before it kills it.
                if not process.alive() and name not in self.down:
                    self.restarts.append((name, process.running.returncode))
                    process.start()

    def urls(self):
        return [(self.network.machines[name].address, 8080) for name in ("gateway-1", "gateway-2")]

    def ready(self):
        for address in self.urls():
            try:
                connection = http.client.HTTPConnection(*address, timeout=5)
                connection.request("GET", "/health/ready")
                if connection.getresponse().status != 200:
                    return False
            except OSError:
                return False
        return True
