"""deploy/kubernetes says what the image, docker-compose.yaml, airflow.cfg and the settings say."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from pydantic import AliasChoices

from deploy import compose_secrets
from include.operate import _parser
from include.settings import PROJECT_ROOT, Settings
from tests.support.charts import (
    AIRFLOW_VALUES,
    FOLDER,
    NAMESPACE,
    OURS,
    Document,
    named,
    pods,
    render,
    secret_keys,
)

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yaml").read_text())
DOCKERFILE = (PROJECT_ROOT / "deploy" / "images" / "Dockerfile").read_text()
VALUES: dict[str, Any] = yaml.safe_load(AIRFLOW_VALUES.read_text())
OUR_VALUES: dict[str, Any] = yaml.safe_load((OURS / "values.yaml").read_text())
PAGE = (PROJECT_ROOT / "docs" / "kubernetes.md").read_text()

CREDENTIALS = {"DATABASE_URL", "TYPESENSE_API_KEY", "TYPESENSE_SEARCH_KEY"}

ELSEWHERE = {
    ("core", "executor"): "Kubernetes runs the tasks",
    ("core", "parallelism"): "a task is a pod, so more may run",
    ("api", "host"): "other pods call it",
    ("fab", "enable_proxy_fix"): "an ingress stands before it",
}
"""Options of airflow.cfg that are others on a cluster -> why."""


def known_variables() -> set[str]:
    """The variables that the settings are read from."""
    names = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias or field.alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or f"RETAIL_{name.upper()}"]
        names |= {str(choice) for choice in choices}
    return names


def image_environment() -> dict[str, str]:
    """The variables of the image, as the last ENV of each has them."""
    instructions = DOCKERFILE.replace("\\\n", " ").splitlines()
    return dict(pair for line in instructions if line.startswith("ENV ") for pair in re.findall(r"(\w+)=(\S+)", line))


def steps(command: str | list[str]) -> list[str]:
    """The programs of the project that a command runs, with their action."""
    text = command if isinstance(command, str) else "\n".join(command)
    return re.findall(r"python -m ([\w.]+(?: \w+)?)", text)


def literal(value: Any) -> str:
    """What a variable of docker-compose.yaml is unless it is set outside."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


@pytest.fixture
def settings_map(ours: list[Document]) -> dict[str, str]:
    found: dict[str, str] = named(ours, "ConfigMap", "retail-settings")["data"]
    return found


def test_each_variable_is_one_that_the_settings_know(settings_map: dict[str, str]) -> None:
    named_in_charts = set(settings_map) | set(OUR_VALUES["settings"]) | CREDENTIALS
    ours = {name for name in named_in_charts if not name.startswith("AIRFLOW_")}
    assert ours - known_variables() == set()


def test_the_page_names_variables_that_exist() -> None:
    named_in_page = set(re.findall(r"\b(?:RETAIL|DATABASE|TYPESENSE|SUPABASE|ENABLE|CURRENCY)_[A-Z_]+\b", PAGE))
    assert named_in_page >= CREDENTIALS
    assert named_in_page - known_variables() == set()


def test_the_page_makes_the_secrets_that_are_read(ours: list[Document]) -> None:
    made: dict[str, set[str]] = {}
    for name, literals in re.findall(r"create secret generic (\S+)((?:.*\\\n)+.*)", PAGE):
        made[name] = set(re.findall(r"--from-literal=([\w-]+)=", literals))
    read = set().union(*(secret_keys(pod, "retail-airflow") for pod in pods(ours)))
    assert made == {"retail-airflow": read, "retail-credentials": CREDENTIALS}


def test_the_example_of_the_page_can_be_installed(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "site.yaml").write_text(example)
    assert render(OURS, tmp_path, tmp_path / "site.yaml")


def test_the_settings_are_usable(
    settings_map: dict[str, str], ours: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in known_variables():
        monkeypatch.delenv(name, raising=False)
    for name, value in (dict.fromkeys(CREDENTIALS, "x") | settings_map).items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    service = named(ours, "Service", "retail-typesense")
    assert settings.search_nodes == [(service["metadata"]["name"], service["spec"]["ports"][0]["port"])]
    assert str(settings.backups) == "/backups"


def test_what_compose_sets_too_is_the_same(settings_map: dict[str, str]) -> None:
    environment = {name: literal(value) for name, value in COMPOSE["services"]["scheduler"]["environment"].items()}
    elsewhere = {"TYPESENSE_NODES", "AIRFLOW_CONN_SPARK_DEFAULT"}
    both = (set(environment) & set(settings_map)) - elsewhere
    assert "RETAIL_BACKUP_DIR" in both
    for name in both:
        assert [_json(environment[name])] == [_json(settings_map[name])], name


def _json(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


def test_the_image_is_the_one_of_compose() -> None:
    repository = literal(COMPOSE["services"]["scheduler"]["image"]).rpartition(":")[0]
    assert OUR_VALUES["image"]["repository"] == VALUES["defaultAirflowRepository"] == repository


def test_typesense_is_the_one_of_compose(ours: list[Document], tmp_path: Path) -> None:
    compose = COMPOSE["services"]["typesense"]
    (container,) = named(ours, "StatefulSet", "retail-typesense")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == literal(compose["image"])
    compose_secrets.write(tmp_path)
    options = (tmp_path / "typesense_server").read_text().splitlines()
    assert {arg.removeprefix("--").replace("=", " = ") for arg in container["args"]} < set(options)


def test_the_first_steps_are_those_of_compose(ours: list[Document]) -> None:
    (container,) = named(ours, "Job", "retail-init")["spec"]["template"]["spec"]["containers"]
    assert "include.operate migrate" in steps(container["args"])
    assert steps(container["args"]) == steps(COMPOSE["services"]["init"]["command"])


def test_the_command_of_a_backup_exists(ours: list[Document]) -> None:
    job = named(ours, "CronJob", "retail-backup")["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    program, _, arguments = container["args"][0].strip().partition("include.operate ")
    assert program == "python -m "
    assert callable(_parser().parse_args(arguments.split()).action)
    assert job["schedule"] == Settings.model_fields["backup_schedule"].default


def test_users_and_folders_are_those_of_the_image(ours: list[Document]) -> None:
    environment = image_environment()
    (uid,) = re.findall(r"useradd .*--uid (\d+)", DOCKERFILE)
    assert VALUES["airflowHome"] == environment["AIRFLOW_HOME"]
    contexts = [VALUES["securityContexts"]["pod"], *(pod.spec["securityContext"] for pod in pods(ours))]
    assert {str(context["runAsUser"]) for context in contexts} == {uid}
    mounts = {each["name"]: each["mountPath"] for each in VALUES["volumeMounts"]}
    assert mounts["data"] == environment["RETAIL_DATA_DIR"]
    for pod in pods(ours):
        if "typesense" not in pod.name:
            ours_mounts = {each["name"]: each["mountPath"] for each in pod.spec["containers"][0]["volumeMounts"]}
            assert ours_mounts["data"] == mounts["data"]
            assert ours_mounts.get("backups", mounts["backups"]) == mounts["backups"]


def test_airflow_has_the_version_of_the_requirements() -> None:
    assert f"apache-airflow=={VALUES['airflowVersion']}\n" in (PROJECT_ROOT / "requirements.in").read_text()


def test_airflow_is_configured_as_airflow_cfg_has_it() -> None:
    configuration = configparser.ConfigParser()
    configuration.read(PROJECT_ROOT / "airflow.cfg")
    chart_s_own = {("core", "load_examples"): "False"}
    for section in configuration.sections():
        for option, value in configuration[section].items():
            if (section, option) not in {**ELSEWHERE, **chart_s_own}:
                assert str(VALUES["config"][section][option]) == value, (section, option)


def test_airflow_s_chart_writes_that_configuration(airflow: list[Document]) -> None:
    ours = configparser.ConfigParser(interpolation=None)
    ours.read(PROJECT_ROOT / "airflow.cfg")
    written = configparser.ConfigParser(interpolation=None)
    written.read_string(named(airflow, "ConfigMap", "airflow-config")["data"]["airflow.cfg"])
    differing = {
        (section, option)
        for section in ours.sections()
        for option, value in ours[section].items()
        if written.get(section, option, fallback=None) != value
    }
    assert differing == set(ELSEWHERE)
    assert written["core"]["executor"] == "KubernetesExecutor"
    assert written["core"]["execution_api_server_url"] == "http://airflow-api-server:8080/execution/"


def test_requests_reach_the_api_server(ours: list[Document], airflow: list[Document]) -> None:
    service = named(airflow, "Service", "airflow-api-server")
    backends = {
        (path["backend"]["service"]["name"], path["backend"]["service"]["port"]["number"])
        for document in ours
        if document["kind"] == "Ingress"
        for rule in document["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert backends == {(service["metadata"]["name"], service["spec"]["ports"][0]["port"])}


def test_what_is_uploaded_passes_the_ingress() -> None:
    size = re.fullmatch(r"(\d+)m", OUR_VALUES["ingress"]["bodySize"])
    assert size is not None
    assert int(size[1]) * 1024 * 1024 == Settings.model_fields["api_upload_bytes"].default


def test_the_connection_leads_spark_submit_to_kubernetes(
    settings_map: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", settings_map["AIRFLOW_CONN_SPARK_DEFAULT"])
    command = SparkSubmitHook(conn_id="spark_default")._build_spark_submit_command("run.py")
    assert command[command.index("--master") + 1] == "k8s://https://kubernetes.default.svc"
    assert command[command.index("--deploy-mode") + 1] == "client"
    assert f"spark.kubernetes.namespace={NAMESPACE}" in command


def test_the_files_of_spark_are_where_it_looks_for_them(ours: list[Document]) -> None:
    workers = VALUES["workers"]["kubernetes"]
    (folder,) = (each["mountPath"] for each in workers["extraVolumeMounts"])
    files = named(ours, "ConfigMap", "retail-spark")["data"]
    properties = dict(line.split(" ", 1) for line in files["spark-defaults.conf"].splitlines())
    assert {each["name"]: each["value"] for each in workers["env"]}["SPARK_CONF_DIR"] == folder
    assert [volume["configMap"]["name"] for volume in workers["extraVolumes"]] == ["retail-spark"]
    assert properties["spark.kubernetes.executor.podTemplateFile"] == f"{folder}/executor.yaml"
    template = yaml.safe_load(files["executor.yaml"])
    (container,) = template["spec"]["containers"]
    assert properties["spark.kubernetes.executor.podTemplateContainerName"] == container["name"]
    (mount,) = (each["name"] for each in container["volumeMounts"] if each["mountPath"] == container["workingDir"])
    assert {"name": mount, "emptyDir": {}} in template["spec"]["volumes"], "where jars are put must be writable"
    module = container["command"][-1]
    assert (PROJECT_ROOT / f"{module.replace('.', '/')}.py").exists()
    assert workers["serviceAccount"]["name"] == named(ours, "RoleBinding", "retail-spark")["subjects"][0]["name"]
    # What the properties ask for by name is in the environment of the pod.
    asked = set(re.findall(r"\$\{env:(\w+)\}", files["spark-defaults.conf"]))
    assert asked
    assert asked <= {each["name"] for each in yaml.safe_load(VALUES["extraEnv"])}


def test_the_namespace_refuses_what_is_not_restricted() -> None:
    namespace = yaml.safe_load((FOLDER / "namespace.yaml").read_text())
    assert namespace["metadata"]["name"] == NAMESPACE
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
