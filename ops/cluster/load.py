"""The load: threads that send commands of every kind, each marked so that the checker finds it in the log."""

import random
import subprocess
import threading
import time

# A job that a test cancels must not run before that.
LATER = "2999-01-01T00:00:00Z"


def tiny_video(path):
    """A video of a second, which takes little time to convert."""
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=1"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, "-pix_fmt", "yuv420p", path], check=True)
    return path.read_bytes()


class Load:
    """Runs until it is stopped. `pause` is the time between two commands of a thread."""

    def __init__(self, client, video, seed, threads=5, pause=0.4):
        self.client, self.video, self.pause = client, video, pause
        self.stopping = threading.Event()
        self.upload = None
        status, answer = client.command("first", "upload", "POST", "/uploads", video)
        assert status == 201, answer
        self.upload = answer["id"]
        self.threads = [threading.Thread(target=self.run, args=(seed, number)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def run(self, seed, number):
        chance = random.Random(f"{seed}-{number}")
        kinds = [self.probe, self.convert, self.cancelled, self.key, self.webhook, self.batch, self.uploaded]
        weights = [40, 12, 14, 10, 10, 6, 8]
        count = 0
        while not self.stopping.is_set():
            op = f"op-{seed}-{number}-{count}"
            chance.choices(kinds, weights)[0](op, chance.randrange(2))
            count += 1
            time.sleep(self.pause * (0.5 + chance.random()))

    def create(self, op, kind, path, body, gateway):
        """A command that creates something; then the other gateway is asked for it at once."""
        status, answer = self.client.command(op, kind, "POST", path, body, gateway=gateway)
        if status != 201:
            return None
        return answer["id"]

    def read(self, op, path, gateway):
        """What was acknowledged must be there for every gateway: no 404 afterwards."""
        sent = time.monotonic()
        status, _, answer = self.client.once(gateway + 1, "GET", path)
        error = str(answer)[:300] if status != 200 else None
        self.client.history.add(
            op=op, kind="read", path=path, gateway=(gateway + 1) % 2, begin=sent, end=time.monotonic(), at=time.time(), status=status, error=error
        )

    def job(self, op, kind, path, more, gateway):
        body = {"input": self.upload, "metadata": {"op": op}} | more
        job = self.create(op, kind, path, body, gateway)
        if job:
            self.read(op, f"/jobs/{job}", gateway)
        return job

    def probe(self, op, gateway):
        self.job(op, "probe", "/probe", {}, gateway)

    def convert(self, op, gateway):
        scale = {"type": "scale", "height": 24}
        self.job(op, "convert", "/convert", {"output": f"out/{op}.mp4", "operations": [scale]}, gateway)

    def cancelled(self, op, gateway):
        job = self.job(op, "later", "/probe", {"not_before": LATER}, gateway)
        if job:
            self.client.command(op, "cancel", "POST", f"/jobs/{job}/cancel", repeated_by_key=False, gateway=gateway)

    def key(self, op, gateway):
        body = {"name": op, "scopes": ["jobs:read"]}
        key = self.create(op, "key", "/api-keys", body, gateway)
        if key:
            self.read(op, f"/api-keys/{key}", gateway)
            self.client.command(op, "revoke", "POST", f"/api-keys/{key}/revoke", repeated_by_key=False, gateway=gateway)

    def webhook(self, op, gateway):
        body = {"url": f"https://hooks.example.com/{op}", "events": ["batch.*"], "description": op}
        hook = self.create(op, "webhook", "/webhooks", body, gateway)
        if hook:
            self.read(op, f"/webhooks/{hook}", gateway)
            path = f"/webhooks/{hook}"
            self.client.command(op, "delete", "DELETE", path, repeated_by_key=False, gateway=gateway)

    def batch(self, op, gateway):
        jobs = [{"kind": "probe", "input": self.upload, "metadata": {"op": f"{op}/{n}"}} for n in range(3)]
        batch = self.create(op, "batch", "/batch", {"name": op, "jobs": jobs}, gateway)
        if batch:
            self.read(op, f"/batch/{batch}", gateway)

    def uploaded(self, op, gateway):
        upload = self.create(op, "upload", "/uploads", self.video, gateway)
        if upload:
            self.read(op, f"/uploads/{upload}", gateway)
