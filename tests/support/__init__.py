"""What builds material for tests: batches, lakes, warehouses, servers and whole systems."""

import pytest

pytest.register_assert_rewrite("tests.support")
