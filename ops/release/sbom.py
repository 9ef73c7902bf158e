#!/usr/bin/env python3
"""Writes an SPDX 2.3 bill of materials: the crates of `ffapi`, its FFmpeg, nats-server, and the Debian packages of a
root folder.

    ops/release/sbom.py --name ffapi --root /path/of/the/image/root --output ffapi.spdx.json
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import re
import subprocess
import urllib.parse

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def identifier(*parts: str) -> str:
    """An id of an element: letters, digits, dots and dashes."""
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts))


def package(kind: str, name: str, version: str, purl: str, **fields: str) -> dict:
    return {
        "SPDXID": identifier(kind, name, version),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
        ],
        **fields,
    }


def crates(target: str) -> list[dict]:
    """The crates that are linked into the programs: neither build tools nor tests."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found = {crate["id"]: crate for crate in metadata["packages"]}
    waiting = [id for id, crate in found.items() if crate["name"] == "ffapi" and crate["source"] is None]
    linked = set()
    while waiting:
        current = waiting.pop()
        if current in linked:
            continue
        linked.add(current)
        waiting += [
            dependency["pkg"]
            for dependency in nodes[current]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
    outside = (found[id] for id in linked if found[id]["source"] is not None)
    return [
        package(
            "crate", crate["name"], crate["version"], f"pkg:cargo/{crate['name']}@{crate['version']}",
            # Old crates write alternatives with a slash.
            licenseDeclared=(crate["license"] or "NOASSERTION").replace("/", " OR ").replace("  OR  ", " OR "),
        )
        for crate in sorted(outside, key=lambda crate: (crate["name"], crate["version"]))
    ]


def debian_packages(root: pathlib.Path) -> list[dict]:
    """The installed packages, by the database of dpkg or its parts in images without dpkg."""
    states = [root / "var/lib/dpkg/status", *sorted((root / "var/lib/dpkg/status.d").glob("*"))]
    text = "\n\n".join(state.read_text() for state in states if state.is_file())
    packages = []
    for entry in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", entry, re.MULTILINE))
        if "installed" not in fields.get("Status", ""):
            continue
        version = urllib.parse.quote(fields["Version"], safe="")
        purl = f"pkg:deb/debian/{fields['Package']}@{version}?arch={fields['Architecture']}"
        packages.append(package("deb", fields["Package"], fields["Version"], purl))
    return packages


def pinned(name: str) -> str:
    return re.search(rf"^{name}=(.*)$", (REPOSITORY / "ops/setup").read_text(), re.MULTILINE).group(1)


def engine() -> list[dict]:
    """FFmpeg and the libraries that the media child contains; none if it is linked with those of the system."""
    chosen = (REPOSITORY / ".tools/ffmpeg/cargo.toml").read_text()
    folder = re.search(r'^FFMPEG_DIR = \{ value = "(.*?)"', chosen, re.MULTILINE)
    if not folder:
        return []
    contents = (REPOSITORY / ".tools" / folder.group(1) / "contents").read_text().splitlines()
    (name, version), *libraries = (line.split(" ") for line in contents)
    ffmpeg = package("program", name, version, f"pkg:generic/ffmpeg@{version}", licenseDeclared="GPL-2.0-or-later")
    packages = []
    for library, installed in libraries:
        library, _, architecture = library.partition(":")
        purl = f"pkg:deb/debian/{library}@{urllib.parse.quote(installed, safe='')}?arch={architecture}"
        packages.append(package("deb", library, installed, purl))
    return [ffmpeg, *packages]


def has_file(root: pathlib.Path | None, name: str) -> bool:
    return root is not None and any((root / folder / name).exists() for folder in ("usr/bin", "usr/lib/ffapi"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--name", required=True, help="of what is described")
    arguments.add_argument("--root", type=pathlib.Path, help="a folder with the files of an image or a package")
    arguments.add_argument("--target", default="x86_64-unknown-linux-gnu", help="the target of the programs")
    arguments.add_argument("--output", type=pathlib.Path, required=True)
    asked = arguments.parse_args()

    cargo = (REPOSITORY / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"$', cargo, re.MULTILINE).group(1)
    top = package("product", asked.name, version, f"pkg:generic/{asked.name}@{version}")
    parts = crates(asked.target)
    if has_file(asked.root, "nats-server"):
        nats = pinned("NATS_VERSION")
        purl = f"pkg:golang/github.com/nats-io/nats-server/v2@v{nats}"
        parts.append(package("program", "nats-server", nats, purl, licenseDeclared="Apache-2.0"))
    if asked.root is None or has_file(asked.root, "ffapi-media-child"):
        parts += engine()
    if asked.root:
        parts += debian_packages(asked.root)

    commit = ["git", "log", "-1", "--format=%ct"]
    seconds = int(subprocess.run(commit, cwd=REPOSITORY, check=True, capture_output=True).stdout)
    created = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{asked.name}-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{asked.name}-{version}-{digest}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: ffapi-sbom-1"],
        },
        "packages": [top, *parts],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": top["SPDXID"]},
            *(
                {"spdxElementId": top["SPDXID"], "relationshipType": "CONTAINS", "relatedSpdxElement": part["SPDXID"]}
                for part in parts
            ),
        ],
    }
    asked.output.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{asked.output}: {len(parts)} packages")


if __name__ == "__main__":
    main()
