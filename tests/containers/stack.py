"""docker-compose.yaml brought up with podman: what `docker compose up --wait` does, where there is no Docker.

podman-compose translates the file; podman 4.3 cannot wait for health itself, so the order of the start is kept here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONF = Path(__file__).with_name("containers.conf")
READY_SECONDS = 600.0


class StackFailed(Exception):
    """A container did not start or become healthy; the message holds the end of its log."""


class Stack:
    """The services of docker-compose.yaml, of some profiles, as containers of one project."""

    def __init__(self, project: str, variables: dict[str, str], profiles: tuple[str, ...] = ()) -> None:
        """Take the file as it is.

        Args:
            project: Name that its containers, volumes and network begin with.
            variables: What the environment or `.env` would set.
            profiles: Profiles to bring up besides the services that have none.
        """
        self.project = project
        self.environment = os.environ | {"CONTAINERS_CONF": str(CONF), "BUILDAH_ISOLATION": "chroot", **variables}
        self._profiles = [word for profile in profiles for word in ("--profile", profile)]
        services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
        self.grace_seconds: str = services["postgres"]["stop_grace_period"].removesuffix("s")
        self.services = {
            name: service
            for name, service in services.items()
            if not service.get("profiles") or set(service["profiles"]) & set(profiles)
        }

    def compose(self, *words: str) -> str:
        """Return what podman-compose says to `words`."""
        program = Path(sys.executable).with_name("podman-compose")
        return self._run([str(program), "--project-name", self.project, *self._profiles, *words])

    def podman(self, *words: str) -> str:
        """Return what podman says to `words`."""
        return self._run(["podman", *words])

    def _try(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["podman", *words], env=self.environment, capture_output=True, text=True, check=False)

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackFailed(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
            )
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Return the names of a service's containers."""
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return sorted(self.podman("ps", "--all", "--format={{.Names}}", *filters).split())

    def up(self) -> None:
        """Build the image, create every container and start each once what it depends on is there.

        Raises:
            StackFailed: If one does not become healthy.
        """
        # One build for all: podman-compose would make the same image for each service, side by side.
        self.compose("build", "init")
        # podman 4.3 cannot start a container whose requirements have requirements.
        self.compose("up", "--no-start", "--no-build", "--no-deps", *self.services)
        for service in self.in_order():
            for needed, wanted in self._needs(service):
                if wanted == "service_healthy":
                    self.wait_healthy(needed)
                elif wanted == "service_completed_successfully":
                    self.wait_done(needed)
            self.podman("start", *self.containers(service))
        self.wait_all_healthy()

    def in_order(self) -> Iterator[str]:
        """Yield the services, each after those it depends on."""
        left = dict(self.services)
        while left:
            ready = [name for name in left if not {needed for needed, _ in self._needs(name)} & set(left)]
            for name in ready:
                yield name
                del left[name]

    def _needs(self, service: str) -> list[tuple[str, str]]:
        needs = self.services[service].get("depends_on", {})
        return [(name, how["condition"]) for name, how in needs.items() if name in self.services]

    def healthy(self, container: str) -> bool:
        """Return whether the health check of a container passes now."""
        return self._try("healthcheck", "run", container).returncode == 0

    def wait_healthy(self, service: str) -> None:
        """Return once a service is healthy, in all its containers.

        Raises:
            StackFailed: If that takes longer than `READY_SECONDS`.
        """
        end = time.monotonic() + READY_SECONDS
        for container in self.containers(service):
            while not self.healthy(container):
                if time.monotonic() > end:
                    raise StackFailed(f"{container} did not become healthy:\n{self.log(container)}")
                time.sleep(1)

    def wait_all_healthy(self) -> None:
        """Return once every service that can tell is healthy."""
        for service, description in self.services.items():
            if "healthcheck" in description:
                self.wait_healthy(service)

    def wait_done(self, service: str) -> None:
        """Return once a service has done what it is for.

        Raises:
            StackFailed: If it ends with another code than 0.
        """
        (container,) = self.containers(service)
        if self.podman("wait", container).strip() != "0":
            raise StackFailed(f"{service} failed:\n{self.log(container)}")

    def log(self, container: str) -> str:
        """Return the end of what a container said."""
        done = self._try("logs", "--tail", "40", container)
        return done.stdout + done.stderr

    def inside(self, service: str, *words: str) -> str:
        """Return what a command says inside a service's first container; nothing if it cannot be run there now."""
        return self._try("exec", self.containers(service)[0], *words).stdout

    def lasting(self) -> list[str]:
        """Return the containers that are to run on, each after those it depends on."""
        services = [name for name in self.in_order() if self.services[name].get("restart") != "no"]
        return [container for service in services for container in self.containers(service)]

    def state(self, container: str) -> dict[str, Any]:
        """Return what podman knows of a container."""
        found: dict[str, Any] = json.loads(self.podman("inspect", container))[0]["State"]
        return found

    def kill(self, container: str) -> None:
        """Kill the main process of a container as a crash would, so that its restart policy applies."""
        os.kill(int(self.state(container)["Pid"]), signal.SIGKILL)

    def down(self) -> None:
        """Remove the containers, the network and the volumes."""
        self.compose("down", "--volumes", "--timeout", self.grace_seconds)
