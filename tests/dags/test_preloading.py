"""What the scheduler imports for its tasks (`plugins/airflow_local_settings.py`)."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from include.settings import PROJECT_ROOT

LOADED = "import sys, airflow_local_settings; print(*(name for name in sys.modules if name.startswith('include.')))"


def loaded_by(component: str) -> set[str]:
    """Return the modules of the library that an Airflow component has once it has read the file."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv = ['airflow', {component!r}]; {LOADED}"],
        cwd=PROJECT_ROOT / "plugins",
        env={"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_scheduler_has_what_the_steps_import_when_they_run() -> None:
    steps = ast.parse((PROJECT_ROOT / "include" / "pipeline.py").read_text())
    functions = [node for node in ast.walk(steps) if isinstance(node, ast.FunctionDef)]
    imported = {
        node.module for function in functions for node in ast.walk(function) if isinstance(node, ast.ImportFrom)
    }
    wanted = {name for name in imported if name and name.startswith("include.")}
    assert wanted
    assert wanted <= loaded_by("scheduler")


@pytest.mark.parametrize("component", ["api-server", "dag-processor", "triggerer"])
def test_other_components_pay_nothing_for_it(component: str) -> None:
    assert not loaded_by(component)
