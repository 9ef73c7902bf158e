"""Work of every kind on a fleet: what succeeds, and what fails because of its sender."""

import http.server
import socket
import threading
import time

from stack import until

QUICK = [{"type": "trim", "start": 0, "duration": 2}, {"type": "transcode", "preset": "ultrafast", "height": 180}]


class Receiver(http.server.ThreadingHTTPServer):
    """Receives webhooks: 200 at /fine, 410 at /gone, 500 elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.received.append(self.path)
            self.send_response({"/fine": 200, "/gone": 410}.get(self.path, 500))
            self.end_headers()

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.received = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Traffic:
    """Clients that send requests until they are stopped."""

    def __init__(self, fleet, *requests, clients=2, pause=0.1):
        self.stopped = threading.Event()

        def send():
            while not self.stopped.is_set():
                for request in requests:
                    fleet.call(*request)
                self.stopped.wait(pause)

        self.threads = [threading.Thread(target=send, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(70)


def hook(fleet, url, events):
    status, answer = fleet.call("POST", "/webhooks", {"url": url, "events": events})
    assert status == 201, answer
    return answer["id"]


def begun(port, path, key, *headers):
    """A connection with a request whose response takes its time."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    lines = [f"GET /api/v1{path} HTTP/1.1", "Host: localhost", f"X-API-Key: {key}", *headers]
    connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
    return connection


def healthy(fleet, receiver, seconds=45):
    """Jobs of every kind that succeed, for a while."""
    hook(fleet, receiver.url("/fine"), ["job.completed"])
    upload, events = fleet.upload(), begun(fleet.port, "/events", fleet.key, "Accept: text/event-stream")
    end, number = time.monotonic() + seconds, 0
    with Traffic(fleet, ("GET", "/jobs"), ("GET", "/queue"), ("GET", "/me"), pause=0.3):
        while time.monotonic() < end or number < 2:
            jobs = [
                fleet.submit("/convert", {"input": upload, "output": f"remote://{number}.mp4", "operations": QUICK}),
                fleet.submit("/convert", {"input": upload, "output": f"{number}.mp4", "operations": QUICK}),
                fleet.submit("/probe", {"input": upload}),
                fleet.submit("/analyze", {"input": upload, "metrics": ["loudness"]}),
                fleet.submit(
                    "/thumbnails",
                    {"input": upload, "output": f"t{number}", "mode": "count", "count": 2, "width": 160},
                ),
                fleet.submit(
                    "/stream",
                    {
                        "input": upload,
                        "output": f"s{number}",
                        "type": "hls",
                        "encoder_preset": "ultrafast",
                        "variants": [{"name": "low", "height": 90}],
                    },
                ),
            ]
            for job in jobs:
                assert fleet.ended(job) == "completed", fleet.call("GET", f"/jobs/{job}")
            for path in (f"/jobs/{jobs[0]}/outputs/{number}.mp4", f"/jobs/{jobs[1]}/outputs/{number}.mp4"):
                assert fleet.call("GET", path)[0] == 200
            fleet.call("GET", f"/jobs/{jobs[0]}", None, {"Prefer": "wait=1"})
            fleet.call("POST", "/validate", {"kind": "probe", "input": upload})
            fleet.upload()
            number += 1
    fleet.call("POST", "/admin/cleanup", {})
    events.close()
    until(lambda: receiver.received, what="a webhook")


def rejected(fleet):
    """Requests and commands that are rejected, jobs that fail or are cancelled, keys that are revoked."""
    for _ in range(3):
        failing(fleet, 1)
        fleet.call("POST", "/convert", {"input": 1})
        fleet.call("GET", "/jobs/job_nothing")
        fleet.call("GET", "/jobs", key="ffapi_nothing")
        later = fleet.submit("/probe", {"input": "a.mp4", "not_before": "2099-01-01T00:00:00Z"})
        fleet.call("POST", f"/jobs/{later}/cancel", {})
        fleet.ended(later)
        fleet.call("POST", f"/jobs/{later}/cancel", {})
        status, key = fleet.call("POST", "/api-keys", {"name": "short", "scopes": ["jobs:read"]})
        assert status == 201, key
        fleet.call("POST", f"/api-keys/{key['id']}/revoke")
        until(lambda: fleet.call("GET", "/jobs", key=key["secret"])[0] == 401, what="the revocation")
        time.sleep(1.5)  # Prometheus sees each step of the counters.


def failing(fleet, count):
    """Jobs whose input is missing."""
    jobs = [fleet.submit("/probe", {"input": "missing.mp4"}) for _ in range(count)]
    for job in jobs:
        assert fleet.ended(job) == "failed"
