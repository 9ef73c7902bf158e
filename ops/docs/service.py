"""The running service that blocks are tried with."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Receivers of webhooks on this machine are allowed; no port is taken that another service may have. The prices are those of
# docs/costs.md.
SETTINGS = {
    "FFAPI_EGRESS__ALLOW": "127.0.0.0/8",
    "FFAPI_METRICS__LISTEN": "",
    "FFAPI_GATEWAY__PRICES__CURRENCY": "EUR",
    "FFAPI_GATEWAY__PRICES__MEDIA_MINUTE": "0.01",
    "FFAPI_GATEWAY__PRICES__CPU_HOUR": "0.05",
}
# A port of the reader's programs.
RECEIVER = re.compile(r"\b9000\b")
# Where a receiver on the internet would be: tests talk to this machine only.
NOBODY = "http://127.0.0.1:1"
# Seconds until a service must be ready.
START = 60


@dataclass(frozen=True)
class Service:
    """A running `ffapi up`: its URL, its data folder, and its program."""

    url: str
    data: Path
    program: Path
    root: Path
    temporary: Path
    receiver: int

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def key(self) -> str:
        return (self.data / "admin.key").read_text().strip()

    @property
    def video(self) -> Path:
        """A small real video with sound, which is encoded quickly."""
        file = self.temporary / "video.mp4"
        if not file.exists():
            source = self.root / ".tools/media/bigbuckbunny.mp4"
            encoder = ["-vf", "scale=-2:360", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "copy"]
            subprocess.run(["ffmpeg", "-v", "error", "-i", source, *encoder, file], check=True)
        return file

    def environment(self) -> dict[str, str]:
        """What commands of a page see: `ffapi` in PATH, and the address and key of the service."""
        programs = self.temporary / "bin"
        programs.mkdir(exist_ok=True)
        link = programs / "ffapi"
        if not link.exists():
            link.symlink_to(self.program.resolve())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FFAPI_")}
        return inherited | {
            "PATH": f"{programs}:{inherited['PATH']}",
            "KEY": self.key,
            "FFAPI_URL": self.url,
            "FFAPI_KEY": self.key,
            "FFAPI_TOOLS": os.environ.get("FFAPI_TOOLS", str(self.root / ".tools/bin")),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def folder(self, page: str) -> Path:
        """The working directory of a page: a video of the reader, and the data folder of `ffapi up`."""
        folder = self.temporary / "pages" / page.replace("/", "_")
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "etc").mkdir()
            (folder / ".ffapi").symlink_to(self.data)
            shutil.copy(self.video, folder / "video.mp4")
        return folder

    def adapt(self, text: str, page: str) -> str:
        """A block with the address of this service, a free port for 9000, and a folder of the test for
        /etc/ffapi; nothing on the internet is asked."""
        for usual in ("localhost:8080", "127.0.0.1:8080"):
            text = text.replace(usual, self.address)
        text = text.replace("/etc/ffapi", str(self.folder(page) / "etc")).replace("https://example.com", NOBODY)
        return RECEIVER.sub(str(self.receiver), text)

    @staticmethod
    def until_answered(port: int, process: subprocess.Popen) -> None:
        """Waits until a process listens."""
        deadline = time.monotonic() + START
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise SystemExit(f"nothing listens at port {port}")

    def store(self, path: str) -> None:
        """Puts the video into the account's folder of the store, as another program may do."""
        target = self.data / "storage/default" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.video, target)

    def post(self, path: str, body: str) -> str | None:
        """Sends a body; what the service says against it."""
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", body.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                response.read()
        except urllib.error.HTTPError as error:
            return f"POST {path}: {error.code} {json.dumps(json.load(error))}"
        return None


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def running(program: Path, root: Path, temporary: Path) -> Iterator[Service]:
    """Starts `ffapi up` in a temporary folder, and stops it."""
    # Its Postgres does not run as root, and has to reach its folder.
    temporary.chmod(0o755)
    data, log = temporary / "data", temporary / "up.log"
    port, receiver = free_ports(2)
    service = Service(f"http://127.0.0.1:{port}", data, program, root, temporary, receiver)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FFAPI_")}
    tools = {"FFAPI_TOOLS": os.environ.get("FFAPI_TOOLS", str(root / ".tools/bin"))}
    origins = {"FFAPI_GATEWAY__CORS_ORIGINS": f"http://localhost:{receiver}"}
    command = [str(program), "up", "--data-dir", str(data), "--listen", service.address]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=inherited | SETTINGS | origins | tools, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START
        while not ready(service.url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service did not start:\n{log.read_text()}")
            time.sleep(0.1)
        yield service
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
