"""Ports and the control socket: chosen once, remembered, checked, and named when they are in the way."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.embedded import addresses
from deploy.embedded.addresses import (
    MAX_SOCKET_PATH,
    Ports,
    PortsDiffer,
    PortTaken,
    check_free,
    check_running_ports,
    control_socket,
    is_running,
    save_ports,
)
from deploy.embedded.state import Instance
from include.lake.connect_server import free_port
from include.settings import get_settings
from tests.support.instances import pretending_to_run


def test_a_taken_port_is_named_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} is taken .* RETAIL_API_PORT"):
            check_free(Ports(api_port=port))


def test_ports_of_the_last_start_are_used_until_a_variable_names_others(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = instance.ports
    save_ports(instance.services, Ports(api_port=8390, postgres_port=54390))
    assert Instance(instance.settings).ports == Ports(api_port=8390, postgres_port=54390)
    monkeypatch.setenv("RETAIL_API_PORT", str(usual.api_port))
    assert Instance(instance.settings).ports == Ports(api_port=usual.api_port, postgres_port=54390)


def test_another_port_than_the_running_instances_is_refused(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_ports(instance.services, Ports(api_port=8390, postgres_port=54390))
    check_running_ports(instance.services)
    monkeypatch.setenv("RETAIL_API_PORT", "8390")
    check_running_ports(instance.services)
    monkeypatch.setenv("RETAIL_API_PORT", "8391")
    with pytest.raises(PortsDiffer, match=r"runs with RETAIL_API_PORT=8390, not 8391: .*`make stop`"):
        check_running_ports(instance.services)


def test_a_socket_left_behind_is_not_a_running_supervisor(instance: Instance) -> None:
    path = control_socket(instance.services)
    assert not is_running(instance.services)
    with pretending_to_run(instance):
        assert is_running(instance.services)
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert path.exists()
    assert not is_running(instance.services)


def test_the_socket_path_fits_a_unix_socket(tmp_path: Path) -> None:
    assert len(str(control_socket(tmp_path / ("x" * 120)))) <= MAX_SOCKET_PATH


def test_a_first_start_is_told_of_a_taken_port_unless_the_instance_has_it(
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("RETAIL_API_PORT", str(free_port()))
        monkeypatch.setenv("RETAIL_POSTGRES_PORT", str(taken.getsockname()[1]))
        assert addresses.main() == 1
        assert "RETAIL_POSTGRES_PORT" in capsys.readouterr().out
        with pretending_to_run(instance):
            assert addresses.main() == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RETAIL_API_PORT", "70000"), ("RETAIL_SPARK_DRIVER_MEMORY", "hunter2"), ("RETAIL_POLL_SECONDS", "hunter2")],
)
def test_an_unusable_setting_is_named_without_its_value(
    instance: Instance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    get_settings.cache_clear()
    assert addresses.main() == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{variable} is unusable (")
    assert "Correct it in the environment or in " in said
    assert value not in said
