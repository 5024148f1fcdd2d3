"""The rules of `restricted` that the charts are held to."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.support.pod_security import violations

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 50000, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "one",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "ports": [{"containerPort": 80}],
        }
    ],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "tmp", "emptyDir": {}}],
}


def test_a_pod_as_the_standard_wants_it_passes() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("hostNetwork",), True, "hostNetwork is set"),
        (("hostPID",), True, "hostPID is set"),
        (("hostIPC",), True, "hostIPC is set"),
        (("volumes", 0), {"name": "disk", "hostPath": {"path": "/"}}, "volume disk is a hostPath"),
        (("volumes", 1), {"name": "share", "nfs": {"server": "x"}}, "volume share is a nfs"),
        (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}], "sysctl kernel.msgmax is set"),
        (("securityContext", "runAsUser"), 0, "runAsUser is 0"),
        (("securityContext", "runAsNonRoot"), False, "container one: runAsNonRoot is not true"),
        (
            ("securityContext", "seccompProfile"),
            None,
            "container one: seccompProfile is neither RuntimeDefault nor Localhost",
        ),
        (("securityContext", "appArmorProfile"), {"type": "Unconfined"}, "appArmorProfile is Unconfined"),
        (("securityContext", "windowsOptions"), {"hostProcess": True}, "hostProcess is set"),
        (
            ("securityContext", "seLinuxOptions"),
            {"type": "spc_t"},
            "seLinuxOptions name a user, a role or another type",
        ),
        (("containers", 0, "securityContext", "privileged"), True, "container one: privileged is set"),
        (("containers", 0, "securityContext", "procMount"), "Unmasked", "container one: procMount is not Default"),
        (("containers", 0, "securityContext", "runAsUser"), 0, "container one: runAsUser is 0"),
        (
            ("containers", 0, "securityContext", "allowPrivilegeEscalation"),
            None,
            "container one: allowPrivilegeEscalation is not false",
        ),
        (
            ("containers", 0, "securityContext", "capabilities"),
            {"drop": ["NET_RAW"]},
            "container one: not all capabilities are dropped",
        ),
        (
            ("containers", 0, "securityContext", "capabilities"),
            {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
            "container one: a capability other than NET_BIND_SERVICE is added",
        ),
        (("containers", 0, "ports", 0, "hostPort"), 80, "container one: a hostPort is set"),
        (
            ("containers", 0, "livenessProbe"),
            {"httpGet": {"host": "10.0.0.1", "port": 80}},
            "container one: a probe or a hook names a host",
        ),
    ],
)
def test_what_it_forbids_is_named(path: tuple[str | int, ...], value: Any, problem: str) -> None:
    spec: Any = copy.deepcopy(GOOD)
    *way, last = path
    place = spec
    for step in way:
        place = place[step]
    place[last] = value
    assert problem in violations(spec)


def test_init_containers_are_held_to_it_too() -> None:
    assert violations(GOOD | {"initContainers": [{"name": "first"}]}) == [
        "container first: allowPrivilegeEscalation is not false",
        "container first: not all capabilities are dropped",
    ]
