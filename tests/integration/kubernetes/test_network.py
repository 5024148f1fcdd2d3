"""Who may speak to whom, by the network policies as Kubernetes reads them."""

from __future__ import annotations

import pytest

from tests.support.charts import Document, Peer, may_speak, named, pods

AIRFLOW = ("scheduler", "dag-processor", "triggerer", "api-server", "worker", "init", "backup")
DATABASE = Peer(address="10.0.0.5")
KUBERNETES = Peer(address="10.1.0.1")
OUTSIDE = Peer(address="203.0.113.7")
ELSEWHERE = Peer(address="192.0.2.1")
INGRESS = Peer(labels={}, namespace="ingress-nginx")
DNS = Peer(labels={}, namespace="kube-system")
STRANGER = Peer(labels={"app": "stranger"})


def component(name: str) -> Peer:
    return Peer(labels={"tier": "airflow", "component": name, "release": "airflow"})


@pytest.fixture(scope="module")
def policies(ours: list[Document]) -> list[Document]:
    return [document for document in ours if document["kind"] == "NetworkPolicy"]


@pytest.fixture(scope="module")
def typesense(ours: list[Document]) -> Peer:
    return Peer(labels=named(ours, "StatefulSet", "retail-typesense")["spec"]["template"]["metadata"]["labels"])


@pytest.mark.parametrize("name", AIRFLOW)
def test_airflow_reaches_what_it_works_with(name: str, policies: list[Document], typesense: Peer) -> None:
    assert may_speak(policies, component(name), DATABASE, 5432)
    assert may_speak(policies, component(name), typesense, 8108)
    assert may_speak(policies, component(name), component("api-server"), 8080)
    assert may_speak(policies, component(name), OUTSIDE, 443)


@pytest.mark.parametrize("name", AIRFLOW)
def test_airflow_reaches_nothing_else(name: str, policies: list[Document]) -> None:
    assert not may_speak(policies, component(name), ELSEWHERE, 443)
    assert not may_speak(policies, component(name), DATABASE, 22)
    assert not may_speak(policies, component(name), STRANGER, 8080)
    assert not may_speak(policies, component(name), component("scheduler"), 8793)


@pytest.mark.parametrize(
    ("name", "reached"), [(name, name in {"scheduler", "worker", "api-server"}) for name in AIRFLOW]
)
def test_the_api_of_kubernetes_is_for_those_who_start_pods_or_read_their_logs(
    name: str, reached: bool, policies: list[Document]
) -> None:
    assert may_speak(policies, component(name), KUBERNETES, 443) is reached
    assert may_speak(policies, component(name), KUBERNETES, 6443) is reached


def test_driver_and_executors_speak_to_each_other(policies: list[Document]) -> None:
    driver, executor = component("worker"), component("spark-executor")
    for source, target in ((driver, executor), (executor, driver), (executor, executor)):
        for port in (7078, 7079):
            assert may_speak(policies, source, target, port)
        assert not may_speak(policies, source, target, 22)
    assert may_speak(policies, executor, DATABASE, 5432)
    assert not may_speak(policies, executor, KUBERNETES, 443)
    assert not may_speak(policies, component("scheduler"), executor, 7079)


def test_from_outside_only_the_ingress_reaches_only_the_api(policies: list[Document], typesense: Peer) -> None:
    assert may_speak(policies, INGRESS, component("api-server"), 8080)
    assert not may_speak(policies, INGRESS, component("api-server"), 8793)
    assert not may_speak(policies, INGRESS, component("scheduler"), 8080)
    assert not may_speak(policies, INGRESS, typesense, 8108)
    assert not may_speak(policies, ELSEWHERE, component("api-server"), 8080)
    assert not may_speak(policies, Peer(labels={}, namespace="other"), component("api-server"), 8080)


def test_a_stranger_in_the_namespace_reaches_nobody(policies: list[Document], typesense: Peer) -> None:
    for target, port in ((component("api-server"), 8080), (typesense, 8108), (DATABASE, 5432), (OUTSIDE, 443)):
        assert not may_speak(policies, STRANGER, target, port)


def test_typesense_calls_nobody(policies: list[Document], typesense: Peer) -> None:
    for target, port in ((component("api-server"), 8080), (DATABASE, 5432), (OUTSIDE, 443), (KUBERNETES, 443)):
        assert not may_speak(policies, typesense, target, port)


def test_everybody_asks_for_names(policies: list[Document], typesense: Peer) -> None:
    for peer in (*map(component, AIRFLOW), component("spark-executor"), typesense, STRANGER):
        assert may_speak(policies, peer, DNS, 53)


def test_the_labels_are_those_of_the_pods(ours: list[Document]) -> None:
    labels = [pod.labels for pod in pods(ours)]
    for name in ("init", "backup", "spark-executor"):
        assert any((component(name).labels or {}).items() <= found.items() for found in labels), name


def test_the_labels_are_those_of_airflow_s_chart(airflow: list[Document]) -> None:
    found = {pod.labels["component"] for pod in pods(airflow) if pod.labels["tier"] == "airflow"}
    assert found == {"scheduler", "dag-processor", "triggerer", "api-server", "worker"}
    assert {pod.labels["release"] for pod in pods(airflow)} == {"airflow"}
