"""An ffapi release build for benchmarks, and helpers for rows."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FFAPI = ROOT / "target/release/ffapi"
BUNNY = ROOT / ".tools/media/bigbuckbunny.mp4"
# A release build searches programs in FFAPI_TOOLS, and not in the checkout.
os.environ.setdefault("FFAPI_TOOLS", str(ROOT / ".tools/bin"))


def out(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def row(name, figure, goal):
    print(f"{name:<44} {figure:<46} goal {goal}", flush=True)


class Stack:
    """A running ffapi release build."""

    def __init__(self, data):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.data = data
        start = time.monotonic()
        self.process = subprocess.Popen(
            [FFAPI, "up", "--data-dir", data, "--listen", f"127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=open(f"{data}/up.log", "a"), env=os.environ | self.limits(),
        )
        while self.call("GET", "/health/ready", raw=True)[0] != 200:
            time.sleep(0.01)
        self.started_in = time.monotonic() - start
        self.key = Path(data, "admin.key").read_text().strip()

    @staticmethod
    def limits():
        """Settings with limits that no benchmark reaches."""
        tier = {"REQUESTS_PER_HOUR": 10**9, "KEYS": 10**5, "MONTHLY_MINUTES": 10**7,
                "UPLOAD_BYTES_PER_SECOND": 10**11}
        tier = {f"FFAPI_TIERS__ENTERPRISE__{name}": str(value) for name, value in tier.items()}
        return tier | {"FFAPI_EGRESS__ALLOW": "127.0.0.1/32"}

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def call(self, method, path, body=None, headers=None, raw=False, connection=None):
        headers = dict(headers or {})
        if not raw:
            headers["X-API-Key"] = self.key
            path = "/api/v1" + path
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        own = connection or self.connect()
        try:
            own.request(method, path, body, headers)
            answer = own.getresponse()
            data = answer.read()
            return answer.status, json.loads(data or b"null")
        except OSError:
            return 0, None
        finally:
            if connection is None:
                own.close()

    def upload(self, path):
        headers = {"Content-Type": "application/octet-stream"}
        return self.call("POST", "/uploads", Path(path).read_bytes(), headers)[1]["id"]

    def submit(self, body, path="/convert"):
        """Submits a job; returns once it is accepted."""
        return self.call("POST", path, body)[1]["job"]

    def ended(self, job):
        """Waits until a job has ended, without a timeout."""
        while job["status"] not in ("completed", "failed", "cancelled"):
            # Far less than the connection timeout, because the server may be frozen half of the time.
            job = self.call("GET", f"/jobs/{job['id']}", None, {"Prefer": "wait=20"})[1]
        return job

    def convert(self, body, path="/convert"):
        return self.ended(self.call("POST", path, body, {"Prefer": "wait=60"})[1]["job"])

    def children(self, word):
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_text()
                parent = (entry / "stat").read_text().rsplit(") ", 1)[1].split()[1]
            except OSError:
                continue
            if parent == str(self.process.pid) and word in line:
                found[int(entry.name)] = line
        return found

    def settings(self):
        """The settings that a role needs to use the servers of this instance."""
        secrets = json.loads(Path(self.data, "secrets.json").read_text())
        address = re.search('"(.*)"', Path(self.data, "nats/nats.conf").read_text()).group(1)
        password = json.loads(Path(self.data, "nats/users.json").read_text())["operator"]
        postgres = Path(Path(self.data, "postgres.location").read_text().strip())
        socket_folder = (postgres / "postmaster.pid").read_text().splitlines()[4]
        return {
            "FFAPI_NATS__URL": f"nats://operator:{password}@{address}",
            "FFAPI_POSTGRES__URL": f"postgres:///postgres?host={socket_folder}&user={postgres.owner()}",
            "FFAPI_SECRETS__MASTER_KEY": secrets["master_key"],
            "FFAPI_SECRETS__PEPPER": secrets["pepper"], "FFAPI_SECRETS__SIGNING_KEY": secrets["signing_key"],
            "FFAPI_STORAGE__ROOT": f"{self.data}/storage",
            "FFAPI_GATEWAY__LISTEN": "127.0.0.1:0",
        }

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.wait()


def rss(pid, which="VmRSS"):
    """Memory of a process in MiB; `VmHWM` is its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) / 1024
    return 0.0
