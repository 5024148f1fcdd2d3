"""The timetable that lets one DAG be started by drops, by hand and by backfills, and never by the clock."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.timetables.trigger import CronTriggerTimetable


class BackfillOnlyTimetable(CronTriggerTimetable):
    """One run per day when asked for by a backfill, no run otherwise."""

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next day of a backfill; None for the scheduler (backfills alone ask with catchup)."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )

    @property
    def summary(self) -> str:
        """Short text for the web interface."""
        return "backfill"


class RetailTimetablePlugin(AirflowPlugin):
    """Registers the timetable."""

    name = "retail_timetable"
    timetables: ClassVar[list[type[Timetable]]] = [BackfillOnlyTimetable]
