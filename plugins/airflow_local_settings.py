"""Imports what the tasks need once, in the scheduler: the LocalExecutor forks every task from it.

Each task would else spend half a second on these imports. Airflow reads this file at the start of every component.
"""

from __future__ import annotations

import sys

if sys.argv[1:2] == ["scheduler"]:
    import include.enrichment.batch
    import include.failover
    import include.lake.aggregates
    import include.pipeline
    import include.quality.audit
    import include.quality.sender_report
    import include.search.index
    import include.warehouse  # noqa: F401
