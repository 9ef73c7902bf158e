#!/usr/bin/env python3
"""
Checks a run from what it wrote down: the history of requests, the log, the final state. It shares no code with ffapi or the harness.

    ops/cluster/check.py FOLDER

Every acknowledged command must be in the log exactly once, under the id of the answer and not after its position; every job must
have ended once; its outputs must be served as they were sealed; all copies of the log must be equal.
"""

import collections
import datetime
import json
import sys
from pathlib import Path

CREATED = {"probe": "job.submitted", "convert": "job.submitted", "later": "job.submitted", "key": "key.created",
           "webhook": "webhook.created", "batch": "batch.submitted", "upload": "upload.completed"}
CHANGED = {"cancel": ("job.cancelled", "job.cancel_requested"), "revoke": ("key.revoked",), "delete": ("webhook.deleted",)}
ENDS = ("job.completed", "job.failed", "job.cancelled")
ACKNOWLEDGED = (200, 201, 202, 204)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def mark(kind, event):
    """The name of the command that its client put into what it created."""
    if kind == "job.submitted":
        return event["spec"].get("metadata", {}).get("op")
    if kind == "key.created":
        return event["name"]
    if kind == "webhook.created":
        return event["terms"].get("description")
    return event["spec"].get("name") if kind == "batch.submitted" else None


class Log:
    """The events by what is asked of them."""

    def __init__(self, events):
        self.marked, self.of = collections.defaultdict(list), collections.defaultdict(list)
        self.sequences = {int(event["position"].split("-")[1]) for event in events}
        self.completed_at = []
        for event in events:
            (kind, body), = event["event"].items() if isinstance(event["event"], dict) else ((event["event"], {}),)
            resource = event["subject"].rsplit(".", 1)[1]
            self.of[resource].append((kind, event["position"], body))
            if name := mark(kind, body):
                self.marked[kind, name].append((resource, event["position"]))
            if kind == "job.completed":
                self.completed_at.append(event["at"])

    def kinds(self, resource):
        return [kind for kind, _, _ in self.of[resource]]


def order(position):
    """Positions in the order of the log. That of an answer is of the newest event that it shows."""
    return [int(part) for part in position.split("-")]


def outcomes(history):
    """For each command its requests in order."""
    found = collections.defaultdict(list)
    for record in history:
        if record["kind"] != "read":
            found[record["op"], record["kind"]].append(record)
    return found


def check_command(op, kind, requests, log):
    """What is wrong with one command."""
    last = requests[-1]
    if kind in CREATED:
        for request in requests:
            if request["status"] == 404:
                yield f"{op} {kind}: gateway {request['gateway'] + 1} created it and answered 404"
    acknowledged = last["status"] in ACKNOWLEDGED
    if not acknowledged and last["status"] not in (0, 429, 500, 502, 503, 504):
        # The cancellation of a job that has ended by an earlier request is refused, and was done.
        done = kind == "cancel" and "job.cancelled" in log.kinds(last["path"].split("/")[2])
        if not (done and last["status"] == 409):
            yield f"{op} {kind}: refused with {last['status']}: {last['error']}"
        return
    if kind in CREATED and kind != "upload":
        found = log.marked[CREATED[kind], op]
        if len(found) > 1:
            yield f"{op} {kind}: doubled: {found}"
        if acknowledged and [resource for resource, _ in found] != [last["id"]]:
            yield f"{op} {kind}: acknowledged as {last['id']}, in the log: {found}"
        if acknowledged and last["position"] and found and order(last["position"]) < order(found[0][1]):
            yield f"{op} {kind}: acknowledged at {last['position']}, in the log at {found[0][1]}"
        if acknowledged and kind == "batch":
            for number in range(3):
                if len(log.marked["job.submitted", f"{op}/{number}"]) != 1:
                    yield f"{op} batch: job {number}: {log.marked['job.submitted', f'{op}/{number}']}"
            if log.kinds(last["id"]).count("batch.ended") != 1:
                yield f"{op} batch: {log.kinds(last['id'])}"
    elif kind == "upload":
        if acknowledged and log.kinds(last["id"]).count("upload.completed") != 1:
            yield f"{op} upload {last['id']}: {log.kinds(last['id'])}"
    else:
        kinds = log.kinds(last["path"].split("/")[2])
        if acknowledged and sum(kinds.count(one) for one in CHANGED[kind]) < 1:
            yield f"{op} {kind}: acknowledged, but the log has {kinds}"
        if any(kinds.count(one) > 1 for one in CHANGED[kind]):
            yield f"{op} {kind}: doubled: {kinds}"


def check_jobs(log, final):
    for job in {resource for resource in log.of if resource.startswith("job_") and "job.submitted" in log.kinds(resource)}:
        kinds = log.kinds(job)
        ends = [kind for kind in kinds if kind in ENDS]
        if kinds == ["job.submitted"] and (log.of[job][0][2]["spec"].get("not_before") or "") > "2900":
            continue  # Its client never learnt its id, and did not cancel it.
        if len(ends) != 1:
            yield f"{job} ended {len(ends)} times: {kinds}"
            continue
        if ends[0] == "job.failed":
            yield f"{job} failed: {next(body for kind, _, body in log.of[job] if kind == 'job.failed')}"
        if final["jobs"].get(job) != ends[0].split(".")[1]:
            yield f"{job}: {ends[0]} in the log, {final['jobs'].get(job)} by the API"
        if ends[0] == "job.completed":
            sealed = [body for kind, _, body in log.of[job] if kind == "job.outputs_sealed"][-1]["outputs"]
            served = final["outputs"][job]["outputs"]
            if len(sealed) != len(served):
                yield f"{job}: {len(sealed)} outputs sealed, {len(served)} listed"
            for output in served:
                if output["served"] != output["sha256"]:
                    yield f"{job}: {output['name']} is served as {output['served']}, sealed as {output['sha256']}"


def check_log(log, final):
    expected = set(range(1, len(final["messages"]) + 1))
    if {sequence for sequence, subject, _ in final["messages"] if subject} != expected:
        yield "the log has holes"
    # Events that were appended between the two readings may follow.
    if not expected <= log.sequences:
        yield f"ffapi replay lacks {sorted(expected - log.sequences)[:10]}"
    commands = collections.Counter(command for _, _, command in final["messages"])
    doubled = [command for command, count in commands.items() if count > 1]
    if doubled:
        yield f"commands that are more than once in the log: {doubled[:5]}"
    if len(set(final["copies"].values())) != 1:
        yield f"copies of the log differ: {final['copies']}"
    for name, found in final["checks"].items():
        if not found["ok"]:
            yield f"{name}: {found['printed'][:2000]}"


def check_reads(history):
    for record in history:
        if record["kind"] == "read" and record["status"] not in (200, 0, 429, 503, 502, 504):
            yield f"{record['op']}: {record['path']} was acknowledged, then gateway {record['gateway'] + 1} answered {record['status']}: {record['error']}"


def pause(times, begin, end):
    """The longest time without any of these moments, of those that overlap the interval."""
    times = sorted(times)
    gaps = [(later - earlier) for earlier, later in zip(times, times[1:]) if later > begin and earlier < end]
    return max(gaps, default=float("nan"))


def check(folder):
    """Prints what happened and what is wrong; returns the number of violations."""
    history, events = lines(folder / "history.jsonl"), lines(folder / "events.jsonl")
    final, log = json.loads((folder / "final.json").read_text()), Log(events)
    wrong = [text for (op, kind), requests in outcomes(history).items() for text in check_command(op, kind, requests, log)]
    wrong += [*check_jobs(log, final), *check_log(log, final), *check_reads(history)]
    commands = outcomes(history)
    last = [requests[-1]["status"] for requests in commands.values()]
    known = sum(status in ACKNOWLEDGED for status in last)
    attempts = sum(kinds.count("job.attempt_started") for kinds in map(log.kinds, log.of))
    print(f"{len(commands)} commands in {len(history)} requests: {known} acknowledged, {last.count(0)} of unknown outcome")
    ended = sum(kind in ENDS for kinds in map(log.kinds, log.of) for kind in kinds)
    print(f"{len(final['messages'])} messages in the log, {ended} jobs ended, {attempts} attempts")
    print("statuses:", dict(collections.Counter(record["status"] for record in history)))
    faults = json.loads((folder / "faults.json").read_text())
    acknowledged = [record["end"] for record in history if record["status"] in ACKNOWLEDGED and record["kind"] != "read"]
    ends = [record for record in map(to_monotonic(history), log.completed_at)]
    for fault in faults:
        begin, end = fault["begin"], fault["whole"] + 1
        print(f"{fault['fault']:<28} {fault['target']:<12} commands paused {pause(acknowledged, begin, end):5.1f} s, "
              f"jobs {pause(ends, begin, end):5.1f} s, whole again {fault['whole'] - fault['mended']:5.1f} s after it was mended")
    for text in wrong[:100]:
        print("WRONG:", text)
    print(f"{len(wrong)} violations")
    return len(wrong)


def to_monotonic(history):
    """Turns the log's times into those of the history, whose clock did not jump."""
    offset = history[0]["at"] - history[0]["end"]
    return lambda at: datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() - offset


if __name__ == "__main__":
    sys.exit(1 if check(Path(sys.argv[1])) else 0)
