"""What every answer must be, whoever asks."""

import os

import schemathesis

MARK = os.environ.get("MARK", "")
CLOSED = os.environ.get("CLOSED", "")
OPEN = ("/health", "/docs", "/openapi.json")


@schemathesis.check
def is_a_problem(_, response, case):
    """A refusal is application/problem+json, with its status in it, and tells of no panic of ours."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == "application/problem+json", f"{response.status_code} as {kind}"
    body = response.json()
    assert body["status"] == response.status_code and body["request_id"], body
    # The words of this very file are tried as input too, and a refusal names what it refuses.
    asked = str(case.body) + response.request.url + str(response.request.headers)
    assert "panicked at" in asked or "panicked at" not in response.text


@schemathesis.check
def leaks_nothing(_, response, case):
    """What is another tenant's is in no answer, unless the asker named it."""
    if MARK and MARK not in str(case.body) + response.request.url:
        assert MARK not in response.text, "it shows what is another tenant's"


@schemathesis.check
def opens_to_nobody(_, response, case):
    """Without a key that opens there is nothing but the open paths."""
    path = case.path.removeprefix("/api/v1")
    if CLOSED and not path.startswith(OPEN):
        assert response.status_code >= 400, f"{response.status_code} at {path}"
    if CLOSED and path == "/health/detailed":
        assert response.status_code == 401
