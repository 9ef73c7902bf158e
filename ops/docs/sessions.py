"""Programs of a page: its blocks in one language, from top to bottom."""

import contextlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import expected
import nginx
from blocks import Block
from service import Service

# Seconds that a page's program has.
LIMIT = 120
SHELL = r"""
set -eEuo pipefail
trap 'printf "%s:%s: exit status %s of: %s\n" "${BASH_SOURCE[0]#*/blocks/*/}" "$LINENO" "$?" "$BASH_COMMAND" >&2' ERR
"""


def finish(process: subprocess.Popen) -> int | None:
    """Waits for the end, and ends what was left in the background; None after the limit."""
    try:
        return process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def compared(service: Service, block: Block, following: Block | None, printed: str) -> str | None:
    """What a block printed, compared with what its comments and the block after it say."""
    if wrong := expected.lines(expected.comments(block.text), printed):
        return wrong
    if following is None or following.attributes or following.language not in ("text", "json"):
        return None
    text = service.adapt(following.text, following.page)
    if following.language == "text":
        return expected.lines([line for line in text.splitlines() if line.strip()], printed)
    document = expected.document(printed)
    return "no JSON was printed" if document is None else expected.shape(json.loads(text), document)


def shell(service: Service, page: list[Block], run: list[Block]) -> list[str]:
    """Runs the shell blocks of a page in one shell, beside the nginx that the page describes; what went wrong."""
    with contextlib.ExitStack() as beside:
        for block in page:
            if block.language == "nginx" and (error := beside.enter_context(nginx.serving(service, block))):
                return [f"{block.place}: {error}"]
        return script(service, page, run)


def script(service: Service, page: list[Block], run: list[Block]) -> list[str]:
    """Runs shell blocks as one script; what went wrong."""
    name = run[0].page
    scripts = service.temporary / "shell" / name.replace("/", "_")
    main = [SHELL]
    outputs: list[tuple[Path, Path, Path]] = []
    for index, block in enumerate(run):
        file = scripts / "blocks" / str(index) / name
        file.parent.mkdir(parents=True)
        file.write_text(service.adapt(block.at_its_lines, name))
        out, err, done = (scripts / f"{index}.{kind}" for kind in ("out", "err", "done"))
        outputs.append((out, err, done))
        main.append(f'. "{file}" >"{out}" 2>"{err}" </dev/null\n: >"{done}"\n')
    process = subprocess.Popen(
        ["bash", "-c", "".join(main)],
        cwd=service.folder(name),
        env=service.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    status = finish(process)
    for block, (out, err, done) in zip(run, outputs, strict=True):
        printed, errors = (path.read_text(errors="replace") if path.exists() else "" for path in (out, err))
        errors = re.sub(rf"{re.escape(str(scripts))}/blocks/\d+/", "", errors)
        if not done.exists():
            reason = f"not done after {LIMIT} s" if status is None else "failed"
            return [f"{block.place}: {reason}\n{printed}{errors}"]
        following = next((other for other in page if other.after is block), None)
        if wrong := compared(service, block, following, printed):
            return [f"{block.place}: {wrong}\nprinted was:\n{printed}{errors}"]
    return []


def program(service: Service, run: list[Block], command: list[str]) -> list[str]:
    """Runs one program made of a page's blocks; what went wrong."""
    out, err = service.temporary / "out", service.temporary / "err"
    with out.open("w") as output, err.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=service.folder(run[0].page),
            env=service.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        status = finish(process)
    printed = out.read_text(errors="replace")
    everything = f"{printed}{err.read_text(errors='replace')}"
    if status != 0:
        reason = f"not done after {LIMIT} s" if status is None else f"exit status {status}"
        return [f"{run[0].page}: {reason} of its {run[0].language} blocks\n{everything}"]
    for block in run:
        if wrong := expected.lines(expected.comments(block.text), printed):
            return [f"{block.place}: {wrong}\nprinted was:\n{everything}"]
    return []


def joined(service: Service, run: list[Block]) -> str:
    """The blocks as one text, each at the lines that it has in its page."""
    lines: list[str] = []
    for block in run:
        lines += [""] * (block.line - len(lines)) + block.text.splitlines()
    return service.adapt("\n".join(lines) + "\n", run[0].page)


def python(service: Service, run: list[Block]) -> list[str]:
    """Runs the Python blocks of a page."""
    file = service.temporary / "python" / run[0].page
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(joined(service, run))
    return program(service, run, ["python3", str(file)])


def typescript(service: Service, run: list[Block], package: Path) -> list[str]:
    """Compiles the TypeScript blocks of a page within the SDK's package, so that its name leads to it, and runs them."""
    stem = re.sub(r"\W", "_", run[0].page.removesuffix(".md"))
    source = package / "build" / f"{stem}.ts"
    source.write_text(joined(service, run))
    compiled = subprocess.run(
        ["node_modules/.bin/tsc", "--strict", "--target", "ES2022", "--module", "NodeNext", "--types", "node", source],
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if compiled.returncode != 0:
            return [f"{run[0].page}: its TypeScript\n{compiled.stdout}"]
        return program(service, run, ["node", str(source.with_suffix(".js"))])
    finally:
        source.unlink()
        source.with_suffix(".js").unlink(missing_ok=True)
