"""docker-compose.yaml against the compose schema, and the promises it makes."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploy import compose_env
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
    assert {name: services[name]["command"] for name in COMPONENTS} == COMPONENTS


def test_only_the_api_is_published_and_only_on_the_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(published) == ["api-server"]
    assert all(port.startswith("127.0.0.1:") for port in published["api-server"])


def test_every_secret_is_required_and_generated(tmp_path: Path) -> None:
    password = compose_env.write(tmp_path / "compose.env")
    content = (tmp_path / "compose.env").read_text()
    generated = dict(line.split("=", 1) for line in content.splitlines())
    required = set(re.findall(r"\$\{(\w+):\?", TEXT)) | set(re.findall(r"environment: (\w+)$", TEXT, re.MULTILINE))
    assert required == set(generated)
    assert password in generated["AIRFLOW_USERS"]
    assert stat.S_IMODE(os.stat(tmp_path / "compose.env").st_mode) == 0o600
    assert compose_env.write(tmp_path / "compose.env") == ""
    assert (tmp_path / "compose.env").read_text() == content


def test_a_secret_that_an_earlier_version_did_not_have_is_added(tmp_path: Path) -> None:
    compose_env.write(tmp_path / "compose.env")
    older = [line for line in (tmp_path / "compose.env").read_text().splitlines() if "TYPESENSE" not in line]
    (tmp_path / "compose.env").write_text("\n".join(older))
    assert compose_env.write(tmp_path / "compose.env") == ""
    *kept, admin, search = (tmp_path / "compose.env").read_text().splitlines()
    assert kept == older
    assert admin.startswith("TYPESENSE_API_KEY=")
    assert search.startswith("TYPESENSE_SEARCH_KEY=")


def test_the_image_is_built_from_files_that_exist(services: dict[str, Any]) -> None:
    build = services["scheduler"]["build"]
    dockerfile = (PROJECT_ROOT / build["dockerfile"]).read_text()
    assert (PROJECT_ROOT / build["context"] / "requirements.txt").exists()
    for module in re.findall(r"python -m ([\w.]+)", dockerfile + TEXT):
        path = PROJECT_ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_warehouse_is_spoken_to_over_tls_and_may_be_another_one(services: dict[str, Any]) -> None:
    environment = services["scheduler"]["environment"]
    default = re.fullmatch(r"\$\{DATABASE_URL:-(.+)\}", environment["DATABASE_URL"])
    assert default is not None
    settings = Settings(_env_file=None, database_url=SecretStr(default[1].replace("${POSTGRES_PASSWORD}", "secret")))
    assert warehouse_url(settings).query["sslmode"] == "require"
    assert "ssl=on" in services["postgres"]["command"]
    assert {"DATABASE_TYPE", "SUPABASE_URL", "SUPABASE_SCHEMA", "ENABLE_SUPABASE_RLS"} <= set(environment)
