"""Both charts, rendered by Helm: valid, restricted, complete, and refused where something is missing or wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.support.charts import (
    INSTALLATION,
    OURS,
    ChartFailed,
    Document,
    named,
    pods,
    references,
    render,
    secret_keys,
)
from tests.support.pod_security import violations

OUTSIDE_KUBERNETES = "external-secrets.io/v1"
"""Kinds of the External Secrets operator, for which Kubernetes has no schema."""

AIRFLOW_KEYS = {"connection", "fernet-key", "api-secret-key", "jwt-secret", "airflow-users"}
"""Keys of the Secret retail-airflow: Airflow's chart wants the first four by these names."""

SECRETS = {("Secret", "retail-airflow"), ("Secret", "retail-credentials")}


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_each_document_is_valid(documents: list[Document], version: str) -> None:
    for document in documents:
        if document["apiVersion"] != OUTSIDE_KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)


def test_no_two_documents_have_one_name(documents: list[Document]) -> None:
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names))


def test_each_pod_meets_pod_security_restricted(documents: list[Document]) -> None:
    found = {pod.name: violations(pod.spec) for pod in pods(documents)}
    assert len(found) >= 4
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_each_container_has_requests_and_limits(documents: list[Document]) -> None:
    without = {
        f"{pod.name} {container['name']}"
        for pod in pods(documents)
        for container in pod.containers
        for kind in ("requests", "limits")
        if not {"cpu", "memory"} <= set(container.get("resources", {}).get(kind, {}))
    }
    assert without <= {"ConfigMap retail-spark executor.yaml executor"}, "Spark sets those of an executor"


def test_no_chart_brings_a_secret(documents: list[Document]) -> None:
    assert [document["metadata"]["name"] for document in documents if document["kind"] == "Secret"] == []


def test_only_secrets_have_to_be_there(ours: list[Document]) -> None:
    made = {(document["kind"], document["metadata"]["name"]) for document in ours}
    assert set().union(*map(references, pods(ours))) - made == SECRETS


def test_airflow_s_pods_find_all_they_need(ours: list[Document], airflow: list[Document]) -> None:
    made = {(document["kind"], document["metadata"]["name"]) for document in [*ours, *airflow]}
    assert set().union(*map(references, pods(airflow))) - made == SECRETS


def test_the_secret_of_airflow_is_read_by_the_keys_that_airflow_s_chart_wants(ours: list[Document]) -> None:
    assert set().union(*(secret_keys(pod, "retail-airflow") for pod in pods(ours))) == AIRFLOW_KEYS


def test_airflow_s_chart_reads_no_other_keys(airflow: list[Document]) -> None:
    read = set().union(*(secret_keys(pod, "retail-airflow") for pod in pods(airflow)))
    assert read == AIRFLOW_KEYS - {"airflow-users"}


def test_the_secret_that_signs_tokens_is_kept_from_tasks(airflow: list[Document]) -> None:
    reading = {pod.labels["component"] for pod in pods(airflow) if "jwt-secret" in secret_keys(pod, "retail-airflow")}
    assert "api-server" in reading
    assert "worker" not in reading


def test_what_has_several_replicas_is_disrupted_one_at_a_time(airflow: list[Document]) -> None:
    budgets = [document["spec"] for document in airflow if document["kind"] == "PodDisruptionBudget"]
    assert {budget["selector"]["matchLabels"]["component"] for budget in budgets} == {
        "api-server",
        "scheduler",
        "triggerer",
    }
    assert all(budget["maxUnavailable"] == 1 for budget in budgets)
    assert named(airflow, "Deployment", "airflow-scheduler")["spec"]["replicas"] == 2
    assert named(airflow, "Deployment", "airflow-triggerer")["spec"]["replicas"] == 2


def test_the_api_server_grows_with_its_load(airflow: list[Document]) -> None:
    spec = named(airflow, "HorizontalPodAutoscaler", "airflow-api-server")["spec"]
    assert spec["scaleTargetRef"]["name"] == "airflow-api-server"
    assert 2 == spec["minReplicas"] < spec["maxReplicas"]
    assert "replicas" not in named(airflow, "Deployment", "airflow-api-server")["spec"]


def test_commands_and_probes_need_nothing_that_only_airflow_s_own_image_has(airflow: list[Document]) -> None:
    for pod in pods(airflow):
        for container in pod.containers:
            probes = [container.get(name, {}) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
            words = [
                *container.get("command", []),
                *container.get("args", []),
                *(word for probe in probes for word in probe.get("exec", {}).get("command", [])),
            ]
            assert container["command"] == ["tini", "--"], pod.name
            assert not any("/entrypoint" in word or "/clean-logs" in word for word in words), pod.name


def without(path: str) -> dict[str, Any]:
    """What an installation says, less one thing."""
    values: dict[str, Any] = copy.deepcopy(INSTALLATION)
    *way, last = path.split(".")
    place = values
    for step in way:
        place = place[step]
    del place[last]
    return values


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("image.tag", "Set image.tag: the tag of the image that the cluster runs."),
        (
            "secrets.source",
            "Set secrets.source: existing if the Secrets retail-airflow and retail-credentials are in the namespace, "
            "external to have External Secrets bring them.",
        ),
        ("volumes.storageClass", "Set volumes.storageClass: a class of volumes that many nodes may write at once."),
        ("ingress.host", "Set ingress.host: the name under which the system is reached."),
        ("ingress.tlsSecret", "Set ingress.tlsSecret: the Secret with the certificate of that name."),
        ("network.database.cidrs", "Set network.database.cidrs: the networks in which PostgreSQL answers."),
        (
            "network.kubernetesApi.cidrs",
            "Set network.kubernetesApi.cidrs: the networks in which the API of Kubernetes answers, which "
            "`kubectl get endpoints kubernetes` shows.",
        ),
    ],
)
def test_what_is_missing_is_named_in_one_sentence(missing: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ChartFailed) as caught:
        render(OURS, tmp_path, without(missing))
    assert sentence in str(caught.value)


def test_an_external_store_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ChartFailed, match=r"Set secrets\.external\.store\.name: the store that External Secrets reads"):
        render(OURS, tmp_path, INSTALLATION, {"secrets": {"source": "external"}})


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"settings": {"TYPESENSE_API_KEY": "x"}}, "TYPESENSE_API_KEY"),
        ({"settings": {"DATABASE_URL": "x"}}, "DATABASE_URL"),
        ({"settings": {"CURRENCY_API_KEY": "x"}}, "CURRENCY_API_KEY"),
        ({"settings": {"SUPABASE_SERVICE_KEY": "x"}}, "SUPABASE_SERVICE_KEY"),
        ({"settings": {"AWS_SECRET_ACCESS_KEY": "x"}}, "AWS_SECRET_ACCESS_KEY"),
        ({"settings": {"RETAIL_API_UPLOAD_BYTES": 1073741824}}, "got number, want string"),
        ({"ingres": {"host": "x"}}, "ingres"),
        ({"network": {"database": {"cidrs": ["db.example.com"]}}}, "cidrs"),
    ],
)
def test_a_wrong_value_is_refused(wrong: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(ChartFailed, match="don't meet the specifications of the schema") as caught:
        render(OURS, tmp_path, INSTALLATION, wrong)
    assert problem in str(caught.value)


def test_external_secrets_bring_both(tmp_path: Path) -> None:
    external = {"source": "external", "external": {"store": {"name": "vault"}}}
    documents = render(OURS, tmp_path, INSTALLATION, {"secrets": external})
    specs = [document["spec"] for document in documents if document["kind"] == "ExternalSecret"]
    assert {("Secret", spec["target"]["name"]) for spec in specs} == SECRETS
    assert all(spec["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"} for spec in specs)
    assert [spec["dataFrom"] for spec in specs] == [
        [{"extract": {"key": "retail/airflow"}}],
        [{"extract": {"key": "retail/credentials"}}],
    ]


def test_a_backup_is_made_on_request_only(tmp_path: Path, ours: list[Document]) -> None:
    kinds = {document["kind"] for document in render(OURS, tmp_path, INSTALLATION)}
    assert "CronJob" not in kinds
    assert named(ours, "CronJob", "retail-backup")["spec"]["concurrencyPolicy"] == "Forbid"


def test_data_outlives_the_release(ours: list[Document]) -> None:
    claims = [document["metadata"] for document in ours if document["kind"] == "PersistentVolumeClaim"]
    assert {claim["name"] for claim in claims} == {"retail-data", "retail-backups", "retail-logs"}
    assert all(claim["annotations"] == {"helm.sh/resource-policy": "keep"} for claim in claims)
