"""Runs against a service: FFAPI_URL is its address, FFAPI_KEY an API key, FFAPI_VIDEO a video file."""

from __future__ import annotations

import io
import os
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path

import httpx

from ffapi_client import AsyncClient, Client, JobEvent, ProblemError
from ffapi_client.models import ConvertRequest, Job, Output, Submitted, Token, Upload, UploadSummary

URL, KEY, VIDEO = os.environ["FFAPI_URL"], os.environ["FFAPI_KEY"], Path(os.environ["FFAPI_VIDEO"])


def conversion(upload: Upload, name: str) -> ConvertRequest:
    output = f"sdk/{name}-{time.time_ns()}.mp4"
    return {"input": upload["id"], "output": output, "operations": [{"type": "scale", "height": 180}]}


class Body(httpx.SyncByteStream):
    """A body that breaks after its first event."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        first = next(self._response.iter_raw()).partition(b"\n\n")[0]
        yield first + b"\n\nid: 9-"
        raise httpx.ReadError("cut")

    def close(self) -> None:
        self._response.close()


class Cutting(httpx.HTTPTransport):
    """Breaks the first two connections."""

    connections = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.connections += 1
        if self.connections > 2:
            return response
        return httpx.Response(response.status_code, headers=response.headers, stream=Body(response))


class Smoke(unittest.TestCase):
    client: Client
    upload: Upload
    job: Job
    events: list[JobEvent]

    @classmethod
    def setUpClass(cls) -> None:
        cls.client = Client(URL, key=KEY)
        progress: list[tuple[int, int | None]] = []
        cls.upload = cls.client.upload(
            VIDEO, name="ein Häs'chen.mp4", on_progress=lambda sent, total: progress.append((sent, total))
        )
        size = VIDEO.stat().st_size
        assert cls.upload["size"] == size and cls.upload.get("file_name") == "ein Häs'chen.mp4"
        assert progress == sorted(progress) and progress[-1] == (size, size)
        submitted = cls.client.request("POST", "/convert", body=conversion(cls.upload, "sync"), to=Submitted)
        cls.events = list(cls.client.events(submitted["job"]["id"]))
        cls.job = cls.client.wait(submitted["job"]["id"], timeout=60)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.client.close()

    def test_content_may_be_bytes_or_an_open_file(self) -> None:
        self.assertEqual(self.client.upload(VIDEO.read_bytes())["sha256"], self.upload["sha256"])

        class Pipe(io.BytesIO):
            def seekable(self) -> bool:
                return False

        piped = self.client.upload(Pipe(VIDEO.read_bytes()), name="b.mp4")
        self.assertEqual(piped["sha256"], self.upload["sha256"])

    def test_a_job_is_followed_to_its_end(self) -> None:
        types = [event.type for event in self.events]
        self.assertEqual((types[0], types[-1]), ("job.queued", "job.completed"))
        progress = [event.data["progress"] for event in self.events if event.type == "job.progress"]
        self.assertTrue(progress and progress == sorted(progress))
        self.assertEqual(self.job["status"], "completed")
        stored = [event for event in self.events if event.id]
        after = self.client.events(self.job["id"], after=stored[1].id)
        self.assertEqual(list(after), stored[2:])
        self.assertEqual(list(self.client.events(self.job["id"], after=stored[-1].id)), [])

    def test_events_resume_after_a_broken_connection(self) -> None:
        transport = Cutting()
        with httpx.Client(transport=transport) as http:
            events = list(Client(URL, key=KEY, http=http).events(self.job["id"]))
        self.assertEqual(events, [event for event in self.events if event.id])
        self.assertEqual(transport.connections, 3)

    def test_a_service_that_is_away_is_an_error(self) -> None:
        with Client("http://127.0.0.1:9", key=KEY) as away, self.assertRaises(httpx.ConnectError):
            list(away.events("job_1", attempts=2))

    def test_an_output_is_downloaded(self) -> None:
        output = self.job["outputs"][0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "out.mp4")
            size = self.client.download(self.job["id"], output["name"], path)
            self.assertEqual((size, path.stat().st_size), (output["size"], output["size"]))
            with self.assertRaises(ProblemError):
                self.client.download(self.job["id"], "none.mp4", Path(folder, "none.mp4"))
            self.assertEqual(os.listdir(folder), ["out.mp4"])
        part = io.BytesIO()
        self.assertEqual(self.client.download(self.job["id"], output["name"], part, range="bytes=0-99"), 100)
        head = httpx.head(self.client.address(self.job["playback_url"]))
        self.assertEqual(head.headers["content-length"], str(output["size"]))

    def test_lists_are_read_page_by_page(self) -> None:
        self.client.upload(VIDEO)
        entries = self.client.paginate("/uploads", {"limit": 1}, to=UploadSummary)
        ids = {entry["id"] for entry, _ in zip(entries, range(2), strict=False)}
        self.assertEqual(len(ids), 2)
        outputs = self.client.paginate("/jobs/{id}/outputs", parts={"id": self.job["id"]}, to=Output)
        self.assertEqual(len(list(outputs)), self.job["outputs_total"])

    def test_a_rejected_request_raises_its_problem(self) -> None:
        body = {"input": "a.mp4", "output": "b.mp4", "operations": [{"type": "scale", "heigth": 1}]}
        with self.assertRaises(ProblemError) as raised:
            self.client.request("POST", "/convert", body=body)
        problem = raised.exception.problem
        self.assertEqual((raised.exception.status, raised.exception.retry_hint), (422, "no_retry"))
        self.assertEqual(problem["errors"][0]["pointer"], "#/operations/0/heigth")
        with self.assertRaises(ProblemError) as raised:
            next(self.client.events("job_unknown"))
        self.assertEqual(raised.exception.status, 404)

    def test_a_url_with_a_token_needs_no_key(self) -> None:
        body = {"upload": {"max_bytes": 5_000_000}}
        token = self.client.request("POST", "/tokens", body=body, to=Token)
        with Client(URL) as page:
            sent = page.upload(VIDEO, to=token["url"])
        self.assertEqual(sent["sha256"], self.upload["sha256"])

    def test_a_wait_has_a_limit(self) -> None:
        later: dict[str, object] = {**conversion(self.upload, "later"), "not_before": "2100-01-01T00:00:00Z"}
        job = self.client.request("POST", "/convert", body=later, to=Submitted)["job"]
        with self.assertRaises(TimeoutError):
            self.client.wait(job["id"], timeout=0.5)
        self.client.request("POST", "/jobs/{id}/cancel", parts={"id": job["id"]})
        self.assertEqual(self.client.wait(job["id"])["status"], "cancelled")


class AsyncSmoke(unittest.IsolatedAsyncioTestCase):
    async def test_the_same_from_an_event_loop(self) -> None:
        progress: list[int] = []
        async with AsyncClient(URL, key=KEY) as client:
            upload = await client.upload(VIDEO, on_progress=lambda sent, _: progress.append(sent))
            self.assertEqual(progress[-1], VIDEO.stat().st_size)
            body = conversion(upload, "async")
            submitted = await client.request("POST", "/convert", body=body, to=Submitted)
            types = [event.type async for event in client.events(submitted["job"]["id"])]
            self.assertEqual((types[0], types[-1]), ("job.queued", "job.completed"))
            job = await client.wait(submitted["job"]["id"])
            output = job["outputs"][0]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "out.mp4")
                self.assertEqual(await client.download(job["id"], output["name"], path), output["size"])
                self.assertEqual(path.stat().st_size, output["size"])
            ids = set()
            async for entry in client.paginate("/uploads", {"limit": 1}, to=UploadSummary):
                ids.add(entry["id"])
                if len(ids) == 2:
                    break
            with self.assertRaises(ProblemError):
                await client.request("POST", "/convert", body={"input": "a"})
