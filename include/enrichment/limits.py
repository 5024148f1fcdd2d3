"""Rate limit and monthly budget of a service, shared between processes and kept between runs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from filelock import FileLock
from pyrate_limiter import Duration, Limiter, Rate, RateItem, SingleBucketFactory, SQLiteBucket, SQLiteQueries

BUDGET_DAYS = 31
"""Length of the sliding window of a monthly budget: no calendar month is longer, so none can exceed it."""

_LOCK_SECONDS = 2.0


class SharedLimits:
    """Permits for calls, counted in a SQLite file under a lock file.

    SQLite alone would let two processes count the same free place and both take it.
    """

    def __init__(self, path: Path, service: str, per_second: int, monthly_budget: int | None) -> None:
        """Open the file, made if absent.

        Args:
            path: SQLite file.
            service: Name of the service, letters and underscores.
            per_second: Calls allowed in a second.
            monthly_budget: Calls allowed in `BUDGET_DAYS` days; any number if None.

        Raises:
            sqlite3.Error: If the file cannot be written or is no SQLite file.
            filelock.Timeout: If another process holds the lock for long.
        """
        self._lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS)
        self._connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, check_same_thread=False)
        try:
            rate = self._bucket(f"rate_{service}", Rate(per_second, Duration.SECOND))
            self._rate = Limiter(SingleBucketFactory(rate, schedule_leak=False), buffer_ms=5)
            self._budget = (
                self._bucket(f"budget_{service}", Rate(monthly_budget, Duration.DAY * BUDGET_DAYS))
                if monthly_budget
                else None
            )
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def spend(self, wait_seconds: float) -> str | None:
        """Take a permit for one call, waiting for the rate limit if need be.

        Returns:
            None if the call may be made, otherwise why not: `rate_limited` or `budget_used_up`.

        Raises:
            sqlite3.Error: If the file cannot be written.
            filelock.Timeout: If another process holds the lock for long.
        """
        if not self._rate.try_acquire("call", timeout=max(0.0, wait_seconds)):
            return "rate_limited"
        if self._budget is not None and not self._budget.put(RateItem("call", self._budget.now())):
            return "budget_used_up"
        return None

    @property
    def budget_left(self) -> int | None:
        """Calls that the budget still allows, None if there is no budget."""
        if self._budget is None:
            return None
        self._budget.leak(self._budget.now())
        return max(0, self._budget.rates[0].limit - self._budget.count())

    def _bucket(self, table: str, rate: Rate) -> SQLiteBucket:
        with self._lock:
            self._connection.execute(SQLiteQueries.CREATE_BUCKET_TABLE.format(table=table))
            index = SQLiteQueries.CREATE_INDEX_ON_TIMESTAMP.format(index_name=f"idx_{table}", table_name=table)
            self._connection.execute(index)
            self._connection.commit()
        bucket = SQLiteBucket([rate], self._connection, table, lock=self._lock)
        bucket.leak(bucket.now())
        return bucket
