#!/usr/bin/env python3
"""Checks the Helm chart with Helm's own engine: lints it, compares what it renders with ops/helm/golden, and
validates the manifests by the schemas of several Kubernetes versions.

UPDATE=1 writes the golden files instead of comparing them.
"""

import difflib
import os
import pathlib
import sys

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

HELM = pathlib.Path(__file__).resolve().parents[1] / "helm"
CHART = HELM / "ffapi"
GOLDEN = HELM / "golden"
VERSIONS = ["1.27.0", "1.30.0", "1.32.0", "1.34.0"]
# Custom resources, which Kubernetes' own schemas do not cover.
CUSTOM = {"keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"}
# Values that the schema or a template must reject, and a word of the error.
REJECTED = [
    ({}, "existingSecret"),
    ({"existingSecret": ""}, "existingSecret"),
    ({"existingSecret": "s", "gatway": {}}, "gatway"),
    ({"existingSecret": "s", "gateway": {"replicas": "two"}}, "replicas"),
    ({"existingSecret": "s", "workerPools": {"x": {"pool": "tpu"}}}, "pool"),
    ({"existingSecret": "s", "worker": {"pdb": {"enabled": True}, "keda": {"enabled": True, "kind": "ScaledJob"}},
      "workerPools": {"x": {"pool": "cpu"}}}, "disruption budget"),
    ({"existingSecret": "s", "image": {"control": {"digest": "sha256:1"}}}, "digest"),
]


def render(chart: Chart, values: dict) -> str:
    manifests = chart.render(values=values, name="ffapi", namespace="media")
    texts = []
    for path, text in sorted(manifests.items()):
        documents = [part.strip("\n") for part in text.split("\n---\n")]
        for document in documents:
            lines = [line.rstrip() for line in document.removeprefix("---\n").splitlines()]
            if any(line and not line.startswith("#") for line in lines) and not path.endswith(".txt"):
                texts.append(f"---\n# {path}\n" + "\n".join(line for line in lines if line) + "\n")
    return "".join(texts)


def validate(name: str, text: str) -> list[str]:
    problems = []
    for document in yaml.safe_load_all(text):
        if document["apiVersion"] in CUSTOM:
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                what = f"{document['kind']} {document['metadata']['name']}"
                problems.append(f"{name}: {what}: Kubernetes {version}: {error.message}")
    return problems


def relations(name: str, text: str) -> list[str]:
    """What no schema knows: the grace period covers the drain, and workloads select their own pods alone."""
    problems = []
    selectors = []
    for document in yaml.safe_load_all(text):
        if document["kind"] != "Deployment":
            continue
        pod = document["spec"]["template"]
        selector = document["spec"]["selector"]["matchLabels"]
        if not selector.items() <= pod["metadata"]["labels"].items():
            problems.append(f"{name}: {document['metadata']['name']} does not select its pods")
        if selector in selectors:
            problems.append(f"{name}: {document['metadata']['name']} selects the pods of another deployment")
        selectors.append(selector)
        for container in pod["spec"]["containers"]:
            env = {entry["name"]: entry.get("value") for entry in container["env"]}
            drain = env.get("FFAPI_WORKER__DRAIN")
            if drain and pod["spec"]["terminationGracePeriodSeconds"] <= int(drain):
                problems.append(f"{name}: {document['metadata']['name']} is killed before it has drained")
            if "FFAPI_SECRETS__SIGNING_KEY_FILE" in env and container["name"] != "projector":
                problems.append(f"{name}: {container['name']} has the signing key")
    return problems


def main() -> int:
    problems = []
    with Chart.load(CHART) as chart:
        for values, word in REJECTED:
            try:
                chart.validate_schema(values)
                render(chart, values)
                problems.append(f"accepted: {values}")
            except HelmError as error:
                if word not in str(error):
                    problems.append(f"{values}: the error does not name {word}: {error}")
        for path in sorted((CHART / "ci").glob("*-values.yaml")):
            values = yaml.safe_load(path.read_text())
            report = lint(CHART, values, strict=True, namespace="media")
            problems += [f"{path.name}: {message['error']}" for message in report["messages"] if message["severity"] > 1]
            problems += [f"{path.name}: {error}" for error in report["errors"]]
            text = render(chart, values)
            golden = GOLDEN / path.name.replace("-values", "")
            if os.environ.get("UPDATE"):
                golden.write_text(text)
            known = golden.read_text() if golden.exists() else ""
            problems += difflib.unified_diff(
                known.splitlines(), text.splitlines(), str(golden.relative_to(HELM)), "rendered", lineterm="", n=1
            )
            problems += validate(path.name, text) + relations(path.name, text)
            count = sum(1 for _ in yaml.safe_load_all(text))
            print(f"helm: {path.name}: {count} manifests, Kubernetes {', '.join(VERSIONS)}")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
