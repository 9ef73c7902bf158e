"""Whether the profile in logs/ ships every line: syslog-ng, and a receiver that takes what Loki's push API takes.

There is no Loki on a developer's machine; the receiver follows the documentation of `POST /loki/api/v1/push`.
"""

import datetime
import http.server
import json
import os
import re
import threading
from pathlib import Path

from stack import TOOLS, free_port, until

PROFILE = Path(__file__).resolve().parent / "logs/syslog-ng.conf"
PROGRAM = TOOLS / "observability/usr"


class Loki(http.server.ThreadingHTTPServer):
    """Accepts streams, once `open` is set; before that it is busy."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body, server = self.rfile.read(int(self.headers["Content-Length"])), self.server
            if not server.open:
                server.rejected += 1
                self.answer(503)
                return
            try:
                server.take(self.path, self.headers, json.loads(body))
                self.answer(204)
            except (ValueError, KeyError, TypeError, AssertionError) as error:
                server.faults.append(f"{error!r}: {body[:300]!r}")
                self.answer(400)

        def answer(self, status):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", free_port()), self.Handler)
        self.open, self.rejected, self.lines, self.faults = False, 0, {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take(self, path, headers, body):
        assert path == "/loki/api/v1/push" and headers["Content-Type"] == "application/json", (path, headers)
        assert list(body) == ["streams"] and body["streams"]
        for stream in body["streams"]:
            assert set(stream) == {"stream", "values"}
            labels = stream["stream"]
            assert all(
                re.fullmatch(r"[a-zA-Z_]\w*", name) and isinstance(value, str) and value
                for name, value in labels.items()
            )
            for at, line in stream["values"]:
                assert re.fullmatch(r"\d{19}", at), at
                self.lines.setdefault(labels["role"], []).append((labels["level"], int(at), line))


def written(folder, roles):
    return {role: (folder / f"{role}.log").read_text().splitlines() for role in roles}


def ships(fleet, roles):
    """The faults of shipping the logs of roles that have ended."""
    folder, loki = fleet.folder / "shipped", Loki()
    (folder / "logs").mkdir(parents=True)
    for role in roles:
        (folder / f"logs/{role}.log").write_bytes((fleet.folder / f"{role}.log").read_bytes())
    # A line that is no JSON, with everything that JSON escapes.
    odd = "thread 'main' panicked at \"a\\b\"\t{} ü"
    with open(folder / f"logs/{roles[0]}.log", "a") as log:
        log.write(odd + "\n")
    profile = PROFILE.read_text().replace("/var/log/ffapi", str(folder / "logs"))
    profile = profile.replace("127.0.0.1:3100", f"127.0.0.1:{loki.server_address[1]}")
    profile = profile.replace("disk-buffer(", f'disk-buffer(dir("{folder}") ')
    (folder / "syslog-ng.conf").write_text(profile)
    libraries = [
        PROGRAM / "lib/syslog-ng",
        PROGRAM / "lib/x86_64-linux-gnu",
        TOOLS / "observability/lib/x86_64-linux-gnu",
    ]
    fleet.processes.start(
        "syslog-ng",
        [
            PROGRAM / "sbin/syslog-ng",
            "-F",
            "--no-caps",
            "-f",
            folder / "syslog-ng.conf",
            "--persist-file",
            folder / "persist",
            "-p",
            folder / "pid",
            "-c",
            folder / "control",
            "--module-path",
            next((PROGRAM / "lib/syslog-ng").glob("[0-9]*")),
        ],
        {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))},
    )
    until(lambda: loki.rejected, what="a request to Loki")
    loki.open = True
    wanted = written(folder / "logs", roles)
    count = sum(map(len, wanted.values()))
    try:
        until(lambda: sum(map(len, loki.lines.values())) >= count or loki.faults, 60, "all lines")
    except TimeoutError:
        pass
    fleet.processes.stop("syslog-ng")
    yield from loki.faults[:3]
    for role, lines in wanted.items():
        got = loki.lines.get(role, [])
        if [line for _, _, line in got] != lines:
            yield f"{role}: {len(lines)} lines were written, {len(got)} arrived, or they differ"
        for level, at, line in got:
            if line.startswith("{"):
                told = json.loads(line)
                if told["level"] != level or not told["timestamp"].startswith(iso(at)):
                    yield f"{role}: {level} at {at} is of {line[:120]}"
                    break
    if not any(level == "UNKNOWN" and line == odd for level, _, line in loki.lines.get(roles[0], [])):
        yield "a line that is no JSON did not arrive as it was"


def iso(nanoseconds):
    return datetime.datetime.fromtimestamp(nanoseconds // 10**9, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
