"""docker-compose.yaml against the compose schema, and the promises it makes."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploy import compose_secrets
from deploy.embedded.supervisor import COMPONENTS
from include.settings import PROJECT_ROOT, Settings
from include.warehouse import warehouse_url

COMPOSE = PROJECT_ROOT / "docker-compose.yaml"
TEXT = COMPOSE.read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(TEXT)["services"]
    return found


def test_it_meets_the_compose_schema() -> None:
    checker = str(Path(sys.executable).parent / "check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", str(COMPOSE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_it_runs_the_components_of_the_embedded_system(services: dict[str, Any]) -> None:
    started = {name: services[name].get("command", []) for name in COMPONENTS}
    started["api-server"] = [word for word in started["api-server"] if word != "--proxy-headers"]
    started["scheduler"] = services["scheduler"]["environment"]["RETAIL_COMPONENT"].split()
    assert started == COMPONENTS


def test_only_nginx_is_published_and_on_the_loopback_unless_told(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert all(port.startswith("${RETAIL_BIND:-127.0.0.1}:") for port in published.pop("nginx"))
    assert published.keys() == {"prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_every_container_is_confined_limited_and_restarts(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        assert name == "init" or service["mem_limit"], name
        assert service["restart"] == ("no" if name == "init" else "unless-stopped"), name
        assert name == "init" or service["healthcheck"]["test"], name


def test_every_secret_is_a_generated_file(services: dict[str, Any], tmp_path: Path) -> None:
    password = compose_secrets.write(tmp_path / "secrets")
    files = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    declared = yaml.safe_load(TEXT)["secrets"]
    assert {name for name, secret in declared.items() if f"deploy/secrets/{name}" in secret["file"]} == set(declared)
    assert set(declared) <= set(files)
    assert {name for service in services.values() for name in service.get("secrets", [])} == set(declared)
    assert password in files["airflow_users"]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert compose_secrets.write(tmp_path / "secrets") == ""
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == files


def test_a_secret_that_an_earlier_version_did_not_have_is_added(tmp_path: Path) -> None:
    compose_secrets.write(tmp_path)
    kept = (tmp_path / "database_url").read_text()
    (tmp_path / "redis_config").unlink()
    assert compose_secrets.write(tmp_path) == ""
    assert (tmp_path / "redis_config").read_text().startswith("requirepass ")
    assert (tmp_path / "database_url").read_text() == kept


def test_no_secret_stands_in_an_environment(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            secret = any(word in name for word in ("PASSWORD", "SECRET", "KEY", "DATABASE_URL", "SQL_ALCHEMY_CONN"))
            assert not secret or name.endswith(("_FILE", "_CMD")) or value == "/run/secrets", name


def test_the_image_is_made_of_nothing_else() -> None:
    ignored = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    dockerfile = (PROJECT_ROOT / "deploy" / "images" / "Dockerfile").read_text()
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
    assert {word for words in copies for word in words.split()} == let_in
    assert {"*", "deploy/secrets", "**/__pycache__"} <= set(ignored)


def test_the_image_is_built_from_files_that_exist(services: dict[str, Any]) -> None:
    build = services["init"]["build"]
    assert [name for name, service in services.items() if "build" in service] == ["init"]
    dockerfile = (PROJECT_ROOT / build["dockerfile"]).read_text()
    assert (PROJECT_ROOT / build["context"] / "requirements.txt").exists()
    for module in re.findall(r"-m,? ((?:deploy|include)[\w.]*)", dockerfile + TEXT):
        path = PROJECT_ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_warehouse_is_spoken_to_over_tls_and_may_be_another_one(services: dict[str, Any], tmp_path: Path) -> None:
    compose_secrets.write(tmp_path)
    settings = Settings(_env_file=None, database_url=SecretStr((tmp_path / "database_url").read_text()))
    assert warehouse_url(settings).query["sslmode"] == "require"
    assert "ssl=on" in services["postgres"]["command"]
    assert services["scheduler"]["env_file"] == [{"path": ".env", "required": False}]


def test_libraries_that_spark_unpacks_can_be_run(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if service["image"].startswith("retail-lakehouse"):
            assert service["tmpfs"] == ["/tmp:exec,mode=1777"], name
