"""Settings of the whole system, read from the environment and an optional `.env` beside the README."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """What can be configured. Every variable is `RETAIL_<NAME>` unless an alias is given.

    Attributes:
        data_dir: Root of everything the system writes: landing folder, lake, receipts, services.
        lake_uri: Where the Delta tables live: a folder, or an object-store URI Spark and delta-rs can open.
        database_url: SQLAlchemy URL of the warehouse (`postgresql+psycopg://...`).
        warehouse_schema: Schema of the star in the warehouse.
        staging_schema: Schema the Gold job loads into before publishing.
        replica_dir: Where the SQLite replica of the warehouse and the record of who serves are kept.
        primary_patience_seconds: How long an unresponsive warehouse is waited for before the replica takes over.
        date_order: How `03/04/2010` is read where a whole file gives no evidence; `auto` is the documented convention.
        poll_seconds: How often the landing folder is scanned.
        settle_seconds: How long a file's size and modification time must not change before it is claimed.
        max_line_bytes: A longer physical line is quarantined instead of being read.
        spark_driver_memory: Heap of a Spark driver, in Spark's notation.
        spark_jars_dir: Where the Delta and JDBC jars are kept.
    """

    model_config = SettingsConfigDict(
        env_prefix="RETAIL_", env_file=PROJECT_ROOT / ".env", extra="ignore", populate_by_name=True
    )

    data_dir: Path = PROJECT_ROOT / "data"
    lake_uri: str = ""
    database_url: SecretStr = Field(default=SecretStr(""), alias="DATABASE_URL")
    warehouse_schema: str = Field(default="retail_dwh", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    staging_schema: str = Field(default="retail_staging", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    replica_dir: Path | None = None
    primary_patience_seconds: float = Field(default=10.0, gt=0)
    date_order: Literal["auto", "day_first", "month_first"] = "auto"
    poll_seconds: float = Field(default=2.0, gt=0)
    settle_seconds: float = Field(default=2.0, ge=0)
    max_line_bytes: int = Field(default=1_048_576, ge=1_024)
    spark_driver_memory: str = Field(default="1500m", pattern=r"^[0-9]+[mg]$")
    spark_jars_dir: Path | None = None

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def lake(self) -> str:
        """Root URI of the Delta tables, without a trailing slash."""
        return (self.lake_uri or str(self.data_dir / "lake")).rstrip("/")

    @property
    def jars(self) -> Path:
        """Folder of the Spark jars."""
        return self.spark_jars_dir or self.data_dir / "services" / "jars"

    @property
    def replica(self) -> Path:
        """Folder of the replica."""
        return self.replica_dir or self.data_dir / "services" / "replica"

    def table(self, layer: Literal["bronze", "silver", "reference", "gold"], name: str) -> str:
        """URI of the Delta table `name` in `layer`."""
        return f"{self.lake}/{layer}/{name}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        pydantic.ValidationError: If a variable has an unusable value; the message names it.
    """
    return Settings()
