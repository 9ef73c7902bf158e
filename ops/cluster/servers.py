"""NATS and Postgres of the cluster, with the shipped configuration."""

import os
import shutil
import subprocess
import urllib.request

import shipped
from process import Process

NATS = ("nats-1", "nats-2", "nats-3")
# Of builds without `topology apply --replicas`, whose queue can have one replica only.
REPLICATED = ("EVENTS", "IDEM", "QUOTA", "AUDIT", "ANCHORS", "LOGS", "KV_VAULT")
POSTGRES_PROGRAMS = "/usr/lib/postgresql/15/bin"


def nats(name, machine, disk, variables, folder):
    """One nats-server with `ops/compose/nats.conf`; only the folder of its data is another."""
    home = folder / name
    home.mkdir(exist_ok=True)
    config = shipped.NATS.read_text()
    assert 'store_dir: "/data"' in config
    (home / "nats.conf").write_text(config.replace('store_dir: "/data"', f'store_dir: "{disk.path}/jetstream"'))
    shutil.copy(shipped.USERS, home)
    env = shipped.environment("x-nats", variables) | {"NATS_NAME": name}
    command = [shipped.ROOT / ".tools/bin/nats-server", "-c", home / "nats.conf"]
    return Process(name, machine, command, env, folder)


def replicate(connection):
    """Gives the streams three replicas by NATS' own API."""
    for stream in REPLICATED:
        config = connection.info(stream)["config"] | {"num_replicas": len(NATS)}
        connection.api(f"STREAM.UPDATE.{stream}", config)


def queue_on_disk(connection):
    """Recreates the queue as it was before it was in memory: its loss of a leader is what conductors repair."""
    config = connection.info("WORK")["config"] | {"storage": "file"}
    pools = connection.api("CONSUMER.NAMES.WORK")["consumers"]
    consumers = [connection.api(f"CONSUMER.INFO.WORK.{pool}")["config"] for pool in pools]
    connection.api("STREAM.DELETE.WORK")
    connection.api("STREAM.CREATE.WORK", config)
    for consumer in consumers:
        create = f"CONSUMER.CREATE.WORK.{consumer['durable_name']}.{consumer['filter_subject']}"
        connection.api(create, {"stream_name": "WORK", "config": consumer})


def is_alive(machine):
    """The liveness probe of NATS' Helm chart: fails once JetStream is disabled."""
    try:
        address = f"http://{machine.address}:8222/healthz?js-enabled-only=true"
        with urllib.request.urlopen(address, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def current(connection):
    """Whether the queue is there, and every replica of every stream is online and up to date."""
    streams = connection.api("STREAM.NAMES")["streams"]
    if "WORK" not in streams:
        return False
    for stream in streams:
        cluster = connection.info(stream).get("cluster", {})
        peers = cluster.get("replicas", [])
        if not cluster.get("leader") or any(peer.get("offline") or not peer.get("current") for peer in peers):
            return False
    return True


class Postgres:
    """A Postgres server: a primary, or a hot standby of another."""

    def __init__(self, name, machine, disk, password, folder):
        self.name, self.machine, self.folder = name, machine, folder
        self.home = disk.path / "postgres"
        self.password = folder / "postgres.password"
        self.password.write_text(password)
        self.password.chmod(0o644)
        command = [f"{POSTGRES_PROGRAMS}/postgres", "-D", self.home, "-c", "unix_socket_directories=", "-c", "listen_addresses=*"]
        self.process = Process(name, machine, command, {}, folder, user="postgres")

    def run(self, program, *arguments, check=True):
        env = {"PATH": os.environ["PATH"], "PGPASSWORD": self.password.read_text()}
        command = self.machine.command([f"{POSTGRES_PROGRAMS}/{program}", *arguments], "postgres")
        return subprocess.run(command, env=env, check=check, capture_output=True, text=True)

    def own_home(self):
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        shutil.chown(self.home, "postgres", "postgres")
        self.home.chmod(0o700)

    def append(self, name, text):
        """Adds to a file of its configuration; synced, as its power may be cut next."""
        with open(self.home / name, "a") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def create(self):
        """A new cluster as the image of Postgres makes it."""
        self.own_home()
        self.run("initdb", "-D", self.home, "-U", "ffapi", "-E", "UTF8", "-A", "scram-sha-256", f"--pwfile={self.password}")
        self.append("pg_hba.conf", "host all all all scram-sha-256\nhost replication all all scram-sha-256\n")

    def follow(self, primary):
        """Becomes a hot standby of another server."""
        self.own_home()
        source = ["-h", primary.machine.name, "-U", "ffapi", "-c", "fast"]
        self.run("pg_basebackup", "-D", self.home, *source, "-R", "-C", "-S", self.name.replace("-", "_"))
        self.append("postgresql.auto.conf", "hot_standby = on\n")

    def query(self, sql, database="ffapi"):
        """The rows as text, or `None` if the server does not answer."""
        address = ["-h", self.machine.address, "-U", "ffapi", "-d", database]
        done = self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *address, "-c", sql, check=False)
        return done.stdout.strip() if done.returncode == 0 else None
