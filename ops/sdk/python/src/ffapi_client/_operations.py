"""What both clients can do, as plans of steps."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from ._client import Options
from ._service import Service, filled, quoted
from ._source import OpenSource, Progress, Source
from ._steps import Emit, Plan, Read, Reply, Run, Sleep
from ._target import OpenTarget, Target
from .models import Job, Upload

WAIT = 50
"""`Prefer: wait` in seconds: the service waits for a minute at most."""
OVER = {"completed", "failed", "cancelled"}


def send(service: Service, method: str, path: str, options: Options) -> Plan[Reply]:
    """One request with a JSON body, or none."""
    headers = dict(options.get("headers", {}))
    content = None
    if "body" in options:
        headers["Content-Type"] = "application/json"
        content = json.dumps(options["body"]).encode()
    url = service.address(filled(path, options.get("parts")), options.get("query"))
    reply = yield from service.ask(method, url, headers, content)
    yield Emit(reply)


def upload(
    service: Service, source: Source, name: str | None, progress: Progress | None, to: str | None, key: str | None
) -> Plan[Upload]:
    """Uploads a file."""
    with cast(OpenSource, (yield Run(partial(OpenSource, source, name)))) as opened:
        headers = opened.headers() | ({"Idempotency-Key": key} if key else {})
        url = service.address(to or "/api/v1/uploads")
        # The service checks a file before it answers.
        sent = opened.report_to(progress)
        reply = yield from service.ask("POST", url, headers, opened.chunks(), sent=sent, silence=600.0)
    yield Emit(cast(Upload, json.loads(reply.content)))


def wait(service: Service, job: str, timeout: float | None) -> Plan[Job]:
    """Waits for a job to end."""
    end = None if timeout is None else time.monotonic() + timeout
    url = service.address(filled("/jobs/{id}", {"id": job}))
    while True:
        left = WAIT if end is None else min(WAIT, max(0, round(end - time.monotonic())))
        reply = yield from service.ask("GET", url, {"Prefer": f"wait={left}"})
        shown = cast(Job, json.loads(reply.content))
        if shown["status"] in OVER:
            yield Emit(shown)
            return
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(f"{job} is still {shown['status']} after {timeout} s")
        yield Sleep(0.5)


def paginate(
    service: Service, path: str, query: Mapping[str, object] | None, parts: Mapping[str, object] | None
) -> Plan[Any]:
    """The entries of a list, page by page."""
    cursor: str | None = None
    while True:
        url = service.address(filled(path, parts), {**(query or {}), "cursor": cursor})
        page = json.loads((yield from service.ask("GET", url, {"Accept": "application/json"})).content)
        for entry in page["data"]:
            yield Emit(entry)
        cursor = page.get("next_cursor")
        if not page["has_more"] or cursor is None:
            return


def download(service: Service, job: str, name: str, target: Target, span: str | None) -> Plan[int]:
    """Downloads an output, and emits the number of its bytes."""
    # The output of a stream may be in a folder.
    path = f"{filled('/jobs/{id}/outputs', {'id': job})}/{'/'.join(map(quoted, name.split('/')))}"
    headers = {"Range": span} if span else {}
    yield from service.ask("GET", service.address(path), headers, stream=True)
    size = 0
    with cast(OpenTarget, (yield Run(partial(OpenTarget, target)))) as opened:
        while content := cast(bytes, (yield Read())):
            yield Run(partial(opened.write, content))
            size += len(content)
    yield Emit(size)
