"""A fleet of ffapi: NATS, Postgres, a store of objects and one process of each role, each a child
that a check can stop, freeze and start again."""

import base64
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
FFAPI = Path(os.environ.get("FFAPI", ROOT / "target/debug/ffapi"))
BUNNY = TOOLS / "media/bigbuckbunny.mp4"
ROLES = ["projector", "conductor", "worker", "gateway"]
AZURITE = TOOLS / "azurite/node_modules/azurite/dist/src/blob/main.js"
# The account and the key of the store, which exists only while a check runs.
ACCOUNT = "ffapichecks"
ACCOUNT_KEY = "YS1zZWNyZXQtb2YtdGhlLWNoZWNrcy1vbmx5LTAxMjM0NTY3ODk="


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(condition, seconds=60, what="a condition"):
    """Polls until the condition returns something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about within {seconds} s")
        time.sleep(0.1)


class Processes:
    """The children of a check by name, all of which end with it."""

    def __init__(self, logs):
        self.logs = logs
        self.all = {}
        self.commands = {}

    def start(self, name, command, env=None, owner=()):
        """Starts a program, which the kernel ends if this process is killed; `owner` has setpriv's options for its user."""
        self.commands[name] = (command, env, owner)
        command = ["setpriv", "--pdeathsig", "TERM", *owner, "--", *command]
        log = open(self.logs / f"{name}.log", "ab")
        self.all[name] = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def again(self, name):
        self.start(name, *self.commands[name])

    def send(self, name, which):
        self.all[name].send_signal(which)

    def stop(self, name, which=signal.SIGTERM):
        process = self.all.pop(name)
        process.send_signal(which)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self):
        """Stops all, the servers that others use last."""
        servers = ("store", "postgres", "nats-server")
        for name in sorted(self.all, key=lambda name: (name in servers, name)):
            self.stop(name)


class Fleet:
    """The processes of a service that has its data in a folder."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.processes = Processes(folder)
        self.metrics = {role: free_port() for role in ROLES}
        self.port = free_port()
        self.store_port = free_port()
        self.create()
        self.start_nats()
        self.start_postgres()
        self.start_store()
        self.settings = self.connections() | settings
        for role in ROLES:
            self.start_role(role)
        self.until_ready()

    def create(self):
        """Lets `ffapi up` create the data, the schema and the first key."""
        self.port = free_port()
        up = subprocess.Popen(
            [FFAPI, "up", "--data-dir", self.folder / "data", "--listen", f"127.0.0.1:{self.port}"],
            env={**os.environ, "FFAPI_TOOLS": str(TOOLS / "bin"), "FFAPI_METRICS__LISTEN": ""},
            stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "up.log", "wb"),
        )
        try:
            self.until_ready()
        finally:
            up.send_signal(signal.SIGINT)
            up.wait()
        self.key = (self.folder / "data/admin.key").read_text().strip()

    def start_nats(self):
        config = self.folder / "data/nats/nats.conf"
        self.nats_port = int(re.search(r'listen: "127\.0\.0\.1:(\d+)"', config.read_text()).group(1))
        self.processes.start("nats-server", [TOOLS / "bin/nats-server", "-c", config])

    def start_postgres(self):
        home = Path((self.folder / "data/postgres.location").read_text().strip())
        self.socket = home.parent / "postgres.socket"
        self.postgres_user = home.owner()
        # Postgres refuses to run as root.
        as_owner = ["--reuid", home.owner(), "--regid", home.group(), "--init-groups"]
        program = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))[-1]
        command = [program, "-D", home, "-k", self.socket, "-c", "listen_addresses=", "-c", "max_connections=100"]
        self.processes.start("postgres", command, owner=as_owner if os.geteuid() == 0 else ())

    def start_store(self):
        folder = self.folder / "store"
        folder.mkdir(exist_ok=True)
        self.processes.start(
            "store",
            [
                "node",
                AZURITE,
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                self.store_port,
                "--location",
                folder,
                "--skipApiVersionCheck",
                "--disableTelemetry",
                "--silent",
            ],
            {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"},
        )
        until(self.create_container, what="the store's container")

    def create_container(self):
        """Creates the container `media`, with a request signed by the account's key."""
        date, version = email.utils.formatdate(usegmt=True), "2023-11-03"
        signed = (
            f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n"
            f"/{ACCOUNT}/{ACCOUNT}/media\nrestype:container"
        )
        mac = hmac.digest(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256)
        headers = {
            "x-ms-date": date,
            "x-ms-version": version,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.store_port, timeout=5)
        try:
            connection.request("PUT", f"/{ACCOUNT}/media?restype=container", b"", headers)
            return connection.getresponse().status in (201, 409)
        except OSError:
            return False
        finally:
            connection.close()

    def connections(self):
        secrets = json.loads((self.folder / "data/secrets.json").read_text())
        password = json.loads((self.folder / "data/nats/users.json").read_text())["operator"]
        return {
            "FFAPI_TOOLS": str(TOOLS / "bin"),
            "FFAPI_NATS__URL": f"nats://operator:{password}@127.0.0.1:{self.nats_port}",
            "FFAPI_POSTGRES__URL": f"postgres:///postgres?host={self.socket}&user={self.postgres_user}",
            "FFAPI_SECRETS__MASTER_KEY": secrets["master_key"],
            "FFAPI_SECRETS__PEPPER": secrets["pepper"],
            "FFAPI_SECRETS__SIGNING_KEY": secrets["signing_key"],
            "FFAPI_STORAGE__ROOT": str(self.folder / "data/storage"),
            "FFAPI_GATEWAY__LISTEN": f"127.0.0.1:{self.port}",
            "FFAPI_STORES__REMOTE__URL": "az://media",
            "FFAPI_STORES__REMOTE__ENDPOINT": f"http://127.0.0.1:{self.store_port}/{ACCOUNT}",
            "FFAPI_STORES__REMOTE__ACCESS_KEY_ID": ACCOUNT,
            "FFAPI_STORES__REMOTE__SECRET_ACCESS_KEY": ACCOUNT_KEY,
            "FFAPI_STORES__REMOTE__TENANTS": "default",
        }

    def start_role(self, role, more=None):
        listen = {"FFAPI_METRICS__LISTEN": f"127.0.0.1:{self.metrics[role]}"}
        self.processes.start(role, [FFAPI, role], self.settings | listen | (more or {}))

    def proc(self, name):
        return Path(f"/proc/{self.processes.all[name].pid}")

    def scraped(self, role):
        """The metrics of a role, if it shows them."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics[role]}/metrics", timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def until_ready(self):
        until(lambda: self.call("GET", "/health/ready", raw=True)[0] == 200, 90, "readiness")

    def call(self, method, path, body=None, headers=None, raw=False, key=None):
        """A request and its answer: the status, or 0 without one, and the body."""
        headers = dict(headers or {})
        if not raw:
            headers["X-API-Key"] = key or self.key
            path = "/api/v1" + path
        if isinstance(body, (dict, list)):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=65)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        try:
            return answer.status, json.loads(data or b"null")
        except ValueError:
            return answer.status, data

    def upload(self, path=BUNNY):
        headers = {"Content-Type": "application/octet-stream"}
        status, answer = self.call("POST", "/uploads", Path(path).read_bytes(), headers)
        assert status == 201, answer
        return answer["id"]

    def submit(self, path, body):
        """The id of a new job."""
        status, answer = self.call("POST", path, body)
        assert status == 201, answer
        return answer["job"]["id"]

    def status(self, job):
        status, answer = self.call("GET", f"/jobs/{job}")
        return answer["status"] if status == 200 else None

    def ended(self, job, seconds=120):
        """Waits until a job has ended, and returns how."""
        over = ("completed", "failed", "cancelled")
        return until(lambda: (found := self.status(job)) in over and found, seconds, f"the end of {job}")
