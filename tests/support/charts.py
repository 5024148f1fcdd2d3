"""Charts rendered by Helm, and what their documents say: pods, references, who may speak to whom."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from include.settings import PROJECT_ROOT

Document = dict[str, Any]

FOLDER = PROJECT_ROOT / "deploy" / "kubernetes"
OURS = FOLDER / "chart"
AIRFLOW_VALUES = FOLDER / "values.yaml"
NAMESPACE = "retail"

INSTALLATION: dict[str, Any] = {
    "image": {"tag": "1.0"},
    "secrets": {"source": "existing"},
    "volumes": {"storageClass": "shared"},
    "ingress": {"host": "retail.example.com", "tlsSecret": "retail-tls"},
    "network": {"database": {"cidrs": ["10.0.0.0/24"]}, "kubernetesApi": {"cidrs": ["10.1.0.1/32"]}},
}
"""What somebody who installs our chart has to say."""

AIRFLOW_INSTALLATION: dict[str, Any] = {
    "defaultAirflowTag": "1.0",
    "config": {"api": {"base_url": "https://retail.example.com"}},
}
"""What somebody who installs Airflow's chart has to say besides our values."""


class ChartFailed(Exception):
    """Helm refuses to render the chart; the message is Helm's."""


def helm() -> Path:
    """Return the Helm that `make helm` has built.

    Raises:
        FileNotFoundError: If it has not been built.
    """
    built = sorted((PROJECT_ROOT / "data" / "tools").glob("helm-v*"))
    if not built:
        raise FileNotFoundError("Helm is not built: run `make helm`.")
    return built[-1]


def render(chart: Path, folder: Path, *values: Mapping[str, Any] | Path, release: str = "retail") -> list[Document]:
    """Render a chart.

    Args:
        chart: Folder or archive.
        folder: Where values that are given as a mapping are written.
        values: Values or files of them, the later over the earlier.
        release: Name of the release.

    Raises:
        ChartFailed: If it cannot be rendered with these values.
    """
    files = []
    for number, given in enumerate(values):
        path = given if isinstance(given, Path) else folder / f"values-{number}.yaml"
        if not isinstance(given, Path):
            path.write_text(yaml.safe_dump(dict(given)))
        files += ["--values", str(path)]
    command = [str(helm()), "template", release, str(chart), "--namespace", NAMESPACE, "--kube-version", "1.30.0"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChartFailed(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def without_dependencies(chart: Path, folder: Path) -> Path:
    """Return a copy of a chart's source that needs no download: our values switch off what it depends on."""
    if chart.is_file() or (chart / "charts").is_dir():
        return chart
    copy = Path(shutil.copytree(chart, folder / "airflow", ignore=shutil.ignore_patterns("Chart.lock")))
    about = yaml.safe_load((copy / "Chart.yaml").read_text())
    del about["dependencies"]
    (copy / "Chart.yaml").write_text(yaml.safe_dump(about))
    return copy


def airflow_chart() -> Path | None:
    """Return Airflow's official chart, if somebody has named it."""
    named = os.environ.get("AIRFLOW_CHART")
    return Path(named).resolve() if named else None


@dataclass(frozen=True)
class Pod:
    """A pod, or what pods are made from."""

    name: str
    labels: Mapping[str, str]
    spec: Document

    @property
    def containers(self) -> list[Document]:
        """Init containers and the others."""
        return [*(self.spec.get("initContainers") or []), *self.spec["containers"]]


def _pod(name: str, template: Document) -> Pod:
    return Pod(name, template.get("metadata", {}).get("labels", {}), template["spec"])


def pods(documents: Iterable[Document]) -> Iterator[Pod]:
    """Yield every pod: of workloads, and those in the pod templates that Airflow and Spark read from ConfigMaps."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        match document["kind"]:
            case "Pod":
                yield _pod(name, document)
            case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job":
                yield _pod(name, document["spec"]["template"])
            case "CronJob":
                yield _pod(name, document["spec"]["jobTemplate"]["spec"]["template"])
            case "ConfigMap":
                for key, text in document.get("data", {}).items():
                    template = yaml.safe_load(text) if key.endswith(".yaml") else None
                    if isinstance(template, dict) and template.get("kind") == "Pod":
                        yield _pod(f"{name} {key}", template)


def named(documents: Iterable[Document], kind: str, name: str) -> Document:
    """Return the document of that kind and name."""
    (found,) = (each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def references(pod: Pod) -> set[tuple[str, str]]:
    """Return kind and name of all that a pod needs to start."""
    found = {("ServiceAccount", pod.spec["serviceAccountName"])} if "serviceAccountName" in pod.spec else set()
    for volume in pod.spec.get("volumes", []):
        for kind, source, key in (
            ("ConfigMap", "configMap", "name"),
            ("Secret", "secret", "secretName"),
            ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
        ):
            if source in volume:
                found.add((kind, volume[source][key]))
    for container in pod.containers:
        for source in container.get("envFrom") or []:
            found |= {(kind, source[ref]["name"]) for kind, ref in _SOURCES if ref in source}
        for variable in container.get("env") or []:
            for kind, ref in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if ref in variable.get("valueFrom", {}):
                    found.add((kind, variable["valueFrom"][ref]["name"]))
    return found


_SOURCES = (("ConfigMap", "configMapRef"), ("Secret", "secretRef"))


def secret_keys(pod: Pod, secret: str) -> set[str]:
    """Return the keys of a Secret that a pod reads by their names."""
    variables = [each for container in pod.containers for each in container.get("env") or []]
    read = [each["valueFrom"]["secretKeyRef"] for each in variables if "secretKeyRef" in each.get("valueFrom", {})]
    keys = {each["key"] for each in read if each["name"] == secret}
    for volume in pod.spec.get("volumes", []):
        if volume.get("secret", {}).get("secretName") == secret:
            keys |= {item["key"] for item in volume["secret"]["items"]}
    return keys


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod of the namespace, a pod of another one, or an address outside."""

    labels: Mapping[str, str] | None = None
    namespace: str = NAMESPACE
    address: str = ""


def may_speak(policies: Iterable[Document], source: Peer, target: Peer, port: int) -> bool:
    """Return whether network policies let `source` open a TCP connection to `target`, as Kubernetes reads them."""
    policies = list(policies)
    out = _allows(policies, "Egress", source, target, port)
    return out and _allows(policies, "Ingress", target, source, port)


def _allows(policies: list[Document], direction: str, subject: Peer, other: Peer, port: int) -> bool:
    if subject.labels is None or subject.namespace != NAMESPACE:
        return True
    selecting = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], subject.labels)
    ]
    rules = [rule for spec in selecting for rule in spec.get(direction.lower(), [])]
    return not selecting or any(_rule_covers(rule, direction, other, port) for rule in rules)


def _rule_covers(rule: Document, direction: str, other: Peer, port: int) -> bool:
    peers, ports = rule.get("to" if direction == "Egress" else "from"), rule.get("ports")
    return (not peers or any(_is_peer(peer, other) for peer in peers)) and (
        not ports
        or any(
            each.get("protocol", "TCP") == "TCP" and each["port"] <= port <= each.get("endPort", each["port"])
            for each in ports
        )
    )


def _is_peer(peer: Document, other: Peer) -> bool:
    if "ipBlock" in peer:
        network = ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return bool(other.address) and ipaddress.ip_address(other.address) in network
    if other.labels is None:
        return False
    namespace = {"kubernetes.io/metadata.name": other.namespace}
    inside = other.namespace == NAMESPACE
    return (_selects(peer["namespaceSelector"], namespace) if "namespaceSelector" in peer else inside) and (
        "podSelector" not in peer or _selects(peer["podSelector"], other.labels)
    )


def _selects(selector: Document, labels: Mapping[str, str]) -> bool:
    for requirement in selector.get("matchExpressions", []):
        if requirement["operator"] != "In":
            raise NotImplementedError(requirement["operator"])
        if labels.get(requirement["key"]) not in requirement["values"]:
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
