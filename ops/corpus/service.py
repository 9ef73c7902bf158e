"""A running ffapi, and a client that converts one file with it."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
# Seconds that one job may take, with its time in the queue.
PATIENCE = 300
ENDED = ("completed", "failed", "cancelled")


class Outcome(NamedTuple):
    """What became of one file: the output, or the step that failed and the reason that ffapi gave."""

    output: Path | None
    step: str = ""
    reason: str = ""
    seconds: float = 0.0


class Ended(Exception):
    """The service has ended amid the run."""


class Service:
    """`ffapi up` on a free port, with its data in a folder; a context manager."""

    def __init__(self, binary, folder):
        self.folder = Path(folder)
        # Postgres runs as a user of its own, if this is root.
        self.folder.chmod(0o755)
        self.log = self.folder / "up.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}/api/v1"
        command = [Path(binary).resolve(), "up", "--data-dir", self.folder / "data", "--listen", address]
        # Its own process group: Ctrl-C in the terminal is for this tool, which then stops the service.
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment(), start_new_session=True)

    @staticmethod
    def environment():
        limits = {"REQUESTS_PER_HOUR": 10**9, "MONTHLY_MINUTES": 10**7, "UPLOAD_BYTES_PER_SECOND": 10**11}
        limits = {f"FFAPI_TIERS__ENTERPRISE__{name}": str(value) for name, value in limits.items()}
        return {"FFAPI_TOOLS": str(ROOT / ".tools/bin")} | os.environ | limits

    def __enter__(self):
        try:
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_up(self, seconds=120):
        end = time.monotonic() + seconds
        while "ffapi is up" not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Ended(f"ffapi did not start:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.1)
        self.key = (self.folder / "data/admin.key").read_text().strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def panics(self):
        """The lines of the service's log that report a panic."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if "panicked at" in line]

    def call(self, method, path, body=None, headers=None):
        """The status and the answer: of JSON its value, of anything else its bytes; 0 if there is none."""
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"} | (headers or {})
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, decoded(answer)
        except urllib.error.HTTPError as error:
            return error.code, decoded(error)
        except OSError as error:
            if self.process.poll() is not None:
                raise Ended(self.log.read_text(errors="replace")[-2000:]) from None
            return 0, {"detail": f"no answer: {error}"}

    def upload(self, path):
        """The id of the upload, or None and the reason of the refusal."""
        name = path.name.encode("utf-8", "replace").decode()
        plain = name.isascii() and name.isprintable() and '"' not in name and "\\" not in name
        given = f'filename="{name}"' if plain else f"filename*=UTF-8''{quote(name, safe='')}"
        with path.open("rb") as content:
            status, answer = self.call("POST", "/uploads", content, {
                "Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size),
                "Content-Disposition": f"attachment; {given}"})
        if status == 201:
            return answer["id"], ""
        return None, explanation(status, answer)

    @staticmethod
    def refused(reason):
        return Outcome(None, "upload", reason)

    def convert(self, path, name, operations, target):
        """Converts a file to an output called `name`, and downloads the first output with that suffix."""
        start = time.monotonic()
        upload, reason = self.upload(path)
        if upload is None:
            return self.refused(reason)
        return self.convert_upload(upload, name, operations, target, start)

    def convert_upload(self, upload, name, operations, target, start=None):
        start = start or time.monotonic()
        status, answer = self.call("POST", "/convert", {
            "input": upload, "output": f"local://corpus/{name}", "operations": operations,
            "overwrite": "replace"}, {"Prefer": "wait=30"})
        if status not in (200, 201, 202):
            return Outcome(None, "job", explanation(status, answer))
        job = answer.get("job", answer)
        job = self.ended(job, start + PATIENCE)
        if job["status"] != "completed":
            error = job.get("error") or {"code": job["status"], "message": f"not completed in {PATIENCE} s"}
            return Outcome(None, "job", f"{error.get('code')}: {error.get('message')}")
        return self.download(job["id"], target, start)

    def ended(self, job, until):
        while job["status"] not in ENDED and time.monotonic() < until:
            time.sleep(0.1)
            status, answer = self.call("GET", f"/jobs/{job['id']}", None, {"Prefer": "wait=20"})
            job = answer.get("job", answer) if status == 200 else job
        return job

    def download(self, job, target, start):
        """The output with the suffix of `target`, written there."""
        took = time.monotonic() - start
        status, answer = self.call("GET", f"/jobs/{job}/outputs?limit=100")
        names = [output["name"] for output in answer.get("data", [])] if status == 200 else []
        wanted = [name for name in names if name.endswith(target.suffix)]
        if not wanted:
            return Outcome(None, "job", f"no_output: completed without a {target.suffix}, but with {names}")
        status, content = self.call("GET", f"/jobs/{job}/outputs/{quote(wanted[0])}")
        if status != 200:
            return Outcome(None, "job", f"no_download: {explanation(status, content)}")
        target.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return Outcome(target, seconds=took)


def decoded(answer):
    content = answer.read()
    kind = answer.headers.get("Content-Type", "")
    return json.loads(content) if content and "json" in kind else content


def explanation(status, answer):
    """Of a problem document its kind and its words."""
    if not isinstance(answer, dict):
        return f"http {status}: {answer[:200]!r}"
    kind = str(answer.get("type", "")).rsplit("/", 1)[-1] or f"http {status}"
    words = [answer.get("detail", ""), *(field.get("detail") for field in answer.get("errors", []))]
    return f"{kind}: " + "; ".join(dict.fromkeys(str(word) for word in words if word))
