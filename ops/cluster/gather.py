"""After the load: waits for every job to end, then writes down the final state, from NATS and from the API."""

import hashlib
import json
import time

import jetstream
import servers
from fleet import TENANT, until

ENDS = frozenset({"job.completed", "job.failed", "job.cancelled"})
# How long no job may end while some are open: more than the longest wait between two attempts.
SETTLING = 240


def settle(fleet):
    """Waits until replicas are up to date and no job is open; returns the jobs that are open nevertheless."""

    def current():
        try:
            with fleet.operator() as nats:
                return servers.current(nats)
        except Exception:
            return False

    until(current, SETTLING, "replicas that are up to date")
    until(fleet.ready, SETTLING, "gateways that are ready")
    fewest, end = None, 0
    while True:
        events = replay(fleet)
        submitted = {subject(event) for event in events if "job.submitted" in event["event"] and not postponed(event)}
        left = submitted - {subject(event) for event in events if not ENDS.isdisjoint(event["event"])}
        # A busy machine may be far behind: it has to go on, not to be quick.
        if fewest is None or len(left) < fewest:
            fewest, end = len(left), time.monotonic() + SETTLING
        if not left or time.monotonic() > end:
            return sorted(left)
        time.sleep(2)


def subject(event):
    return event["subject"].rsplit(".", 1)[1]


def postponed(event):
    """Whether a job waits for a time in the far future, because the client lost sight of it."""
    return (event["event"]["job.submitted"]["spec"].get("not_before") or "") > "2900"


def replay(fleet):
    printed = fleet.operate("projector-1", "replay", role="projector")
    return [json.loads(line) for line in printed.splitlines()]


def digests(fleet):
    """What each server has as the log up to now: a digest by server, and the messages of the last one asked."""
    with until(fleet.operator, 60, "NATS") as nats:
        last = nats.info("EVENTS")["state"]["last_seq"]
    found, messages = {}, []
    for name in servers.NATS:
        found[name], messages = until(lambda: copy(fleet, name, last), 180, f"the log of {name}")
    return found, messages


def copy(fleet, name, last):
    """The log as a server has it; nothing if it could not be read to its end, as on a busy machine."""
    try:
        with until(fleet.operator, 30, "NATS") as nats:
            lead(nats, name)
            hasher, messages = hashlib.sha256(), []
            for sequence, where, headers, data in nats.messages("EVENTS", last=last):
                hasher.update(repr((sequence, where, headers, data)).encode())
                lines = headers.decode().splitlines()
                command = next((line[12:] for line in lines if line.startswith("Command-Id: ")), None)
                messages.append((sequence, where, command))
            assert nats.info("EVENTS")["cluster"].get("leader") == name, "another server became the leader"
        return hasher.hexdigest(), messages
    except (OSError, AssertionError, jetstream.ApiError) as error:
        print(f"the log of {name} again: {error!r}")
        return None


def lead(nats, name):
    """Makes a server the leader of the log, since only a leader answers for its own copy."""

    def leads():
        if nats.info("EVENTS")["cluster"].get("leader") == name:
            return True
        try:
            nats.api("STREAM.LEADER.STEPDOWN.EVENTS", {"placement": {"preferred": name}})
        except jetstream.ApiError as error:
            print("stepdown:", error)
        return False

    until(leads, 60, f"{name} as the leader")


def outputs(client, jobs):
    """For each completed job its outputs as the API lists them, with the SHA-256 of what it serves."""
    found = {}
    for job in jobs:
        status, _, answer = client.once(0, "GET", f"/jobs/{job}/outputs")
        listed = answer.get("data", []) if status == 200 else []
        for output in listed:
            status, headers, data = client.raw(output["url"])
            output["served"] = hashlib.sha256(data).hexdigest() if status == 200 else status
        found[job] = {"status": status, "outputs": listed}
    return found


def gather(fleet, client, folder):
    open_jobs = settle(fleet)
    copies, messages = digests(fleet)
    events = replay(fleet)
    completed = [subject(event) for event in events if "job.completed" in event["event"]]
    listed = {}
    for job in {subject(event) for event in events if "job.submitted" in event["event"]}:
        status, _, answer = client.once(1, "GET", f"/jobs/{job}")
        listed[job] = answer.get("status") if status == 200 else status
    final = {
        "open": open_jobs,
        "copies": copies,
        "messages": messages,
        "outputs": outputs(client, completed),
        "jobs": listed,
        "checks": checks(fleet, folder),
        "tenant": TENANT,
    }
    with open(folder / "events.jsonl", "w") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    (folder / "final.json").write_text(json.dumps(final))


def checks(fleet, folder):
    """The product's own checks: the hash chain, and read models compared with a rebuild of the log."""
    found = {}
    key, store = folder / "backup.key", folder / "backup"

    def tried(name, *arguments, role="projector"):
        try:
            found[name] = {"ok": True, "printed": fleet.operate("projector-1", *arguments, role=role)}
        except RuntimeError as error:
            found[name] = {"ok": False, "printed": str(error)}
        return found[name]

    tried("hash chain", "audit", "verify")
    public = tried("backup key", "backup", "key", "--out", key)["printed"].split()
    recipient = next((word for word in public if word.startswith("age1")), "")
    tried("backup", "backup", "create", "--store", store, "--recipient", recipient, role="operate")
    tried("read models", "backup", "verify", "--store", store, "--identity", key, role="operate")
    return found
