from __future__ import annotations

import pytest

from tests.support.charts import (
    AIRFLOW_INSTALLATION,
    AIRFLOW_VALUES,
    INSTALLATION,
    OURS,
    Document,
    airflow_chart,
    helm,
    render,
    without_dependencies,
)

EVERYTHING = {"backup": {"enabled": True}, "network": {"outside": {"cidrs": ["203.0.113.0/24"]}}}
"""What is off unless it is asked for."""


@pytest.fixture(scope="session", autouse=True)
def helm_is_built() -> None:
    """Helm; where nobody has built it, the charts are not tested."""
    try:
        helm()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Our chart with all that it has."""
    return render(OURS, tmp_path_factory.mktemp("ours"), INSTALLATION, EVERYTHING)


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Airflow's official chart with our values; helm holds them to the chart's own schema."""
    named = airflow_chart()
    if named is None:
        pytest.skip("AIRFLOW_CHART is not set: make kubernetes-check AIRFLOW_CHART=path")
    folder = tmp_path_factory.mktemp("airflow")
    chart = without_dependencies(named, folder)
    return render(chart, folder, AIRFLOW_VALUES, AIRFLOW_INSTALLATION, release="airflow")


@pytest.fixture(params=["ours", "airflow"])
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """The documents of either chart."""
    found: list[Document] = request.getfixturevalue(request.param)
    return found
