"""A process that ends with its parent, be it that the parent dies before it could ask for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from include.settings import PROJECT_ROOT

CHILD = """
import os, sys, time
from include.lake.connect_server import end_with_parent
while sys.argv[2] == "dead" and os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
end_with_parent("sh")
print("lives on")
"""


@pytest.mark.parametrize(("parent", "command", "printed"), [("dead", "&", ""), ("alive", "; true", "lives on\n")])
def test_a_process_whose_parent_is_dead_already_ends(parent: str, command: str, printed: str) -> None:
    # The output is whole when the child has ended, whether or not the shell has waited for it.
    shell = f'"$0" -c "$1" $$ {parent} {command}'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, CHILD], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (printed, "")
