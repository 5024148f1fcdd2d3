"""Settings of the whole system, read from the environment and an optional `.env` beside the README."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = "embedded"
"""What `RETAIL_SPARK_REMOTE` says for the Spark Connect server that the embedded instance keeps."""

BACKED_UP_FOLDERS = ("runs", "receipts", "quarantine", "quality", "gold", "archive")
"""Folders of the data folder that backups hold, besides lake and replica."""

_URL_PATTERN = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"
_URL_REMEDY = "give the address without a query, such as https://{}, or leave the variable out"
_SCHEMA_PATTERN = r"^[a-z_][a-z0-9_]{0,62}$"
_SCHEMA_REMEDY = "to a name of lower-case letters, digits and _ that begins with no digit, at most 63 long"
_BUCKET_PATTERN = r"s3a?://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?"
_LAKE_PATTERN = rf"^({_BUCKET_PATTERN}|file://.*|[^:]*)$"
_NODE_PATTERN = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?(?::[0-9]{1,5})?"
BASE_CURRENCIES = (
    *("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY"),
    *("KRW", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "USD", "ZAR"),
)
"""What the base currency may be: those whose rates the European Central Bank gives."""

_REMEDIES = {
    "lake_uri": "set RETAIL_LAKE_URI to a folder or to s3://bucket/prefix",
    "landing_uri": "set RETAIL_LANDING_URI to s3://bucket/prefix, or leave it out",
    "aws_endpoint_url": "set AWS_ENDPOINT_URL to the address of the object store, such as https://s3.example.com, or "
    "leave it out for Amazon's",
    "aws_allow_http": "set AWS_ALLOW_HTTP to true or false",
    "enable_external_enrichment": "set ENABLE_EXTERNAL_ENRICHMENT to true or false",
    "enrichment_batch_size": "set ENRICHMENT_BATCH_SIZE to a whole number from 1 to 1000 (100 unless set)",
    "exchange_rate_url": _URL_REMEDY.format("v6.exchangerate-api.com"),
    "exchange_rate_open_url": _URL_REMEDY.format("open.er-api.com"),
    "rest_countries_url": _URL_REMEDY.format("restcountries.com"),
    "datamuse_url": _URL_REMEDY.format("api.datamuse.com"),
    "fx_monthly_budget": "set RETAIL_FX_MONTHLY_BUDGET to the calls a month that your plan allows, 1 or more",
    "quality_bar": "set RETAIL_QUALITY_BAR to a number from 0 to 1 (0.85 unless set)",
    "breaker_threshold": "set RETAIL_BREAKER_THRESHOLD to a whole number from 1 to 100",
    "breaker_reset_seconds": "set RETAIL_BREAKER_RESET_SECONDS to a number of seconds above 0",
    "http_timeout_seconds": "set RETAIL_HTTP_TIMEOUT_SECONDS to a number of seconds above 0, at most 60",
    "database_type": "set DATABASE_TYPE to postgresql, supabase or sqlite",
    "database_pooler": "set DATABASE_POOLER to auto, none or transaction",
    "database_pool_size": "set DATABASE_POOL_SIZE to a whole number of connections from 1 to 50",
    "connect_timeout_seconds": "set DATABASE_CONNECT_TIMEOUT to a whole number of seconds from 2 to 60",
    "statement_timeout_seconds": "set DATABASE_STATEMENT_TIMEOUT to a number of seconds above 0, at most 3600",
    "lock_timeout_seconds": "set DATABASE_LOCK_TIMEOUT to a number of seconds above 0, at most 3600",
    "warehouse_schema": f"set SUPABASE_SCHEMA or RETAIL_WAREHOUSE_SCHEMA {_SCHEMA_REMEDY}",
    "staging_schema": f"set RETAIL_STAGING_SCHEMA {_SCHEMA_REMEDY}",
    "supabase_url": "set SUPABASE_URL to the address of the project, such as https://abcdefghijklmnopqrst.supabase.co",
    "enable_supabase_rls": "set ENABLE_SUPABASE_RLS to true or false",
    "supabase_anon_access": "set SUPABASE_ANON_ACCESS to none or read",
    "replica_journal": "set RETAIL_REPLICA_JOURNAL to wal, or to delete where several machines share the replica",
    "backup_keep": "set RETAIL_BACKUP_KEEP to a whole number of backups from 1 to 1000 (7 unless set)",
    "backup_keep_days": "set RETAIL_BACKUP_KEEP_DAYS to a whole number of days from 0 to 3660 (0 unless set)",
    "backup_schedule": "set RETAIL_BACKUP_SCHEDULE to five fields of cron, such as '30 2 * * *'",
    "base_currency": f"set RETAIL_BASE_CURRENCY to one of {', '.join(BASE_CURRENCIES)}",
    "api_auth_seconds": "set RETAIL_API_AUTH_SECONDS to a number of seconds from 0 to 600",
    "api_auth_grace_seconds": "set RETAIL_API_AUTH_GRACE_SECONDS to a number of seconds from 0 to 86400",
    "api_login_failures": "set RETAIL_API_LOGIN_FAILURES to a whole number from 1 to 1000",
    "api_login_window_seconds": "set RETAIL_API_LOGIN_WINDOW_SECONDS to a number of seconds from 1 to 86400",
    "api_body_bytes": "set RETAIL_API_BODY_BYTES to a whole number of bytes, 1024 or more",
    "api_upload_bytes": "set RETAIL_API_UPLOAD_BYTES to a whole number of bytes, 1024 or more",
    "typesense_nodes": "set TYPESENSE_NODES to hosts with their ports, such as search-1:8108,search-2:8108",
    "typesense_protocol": "set TYPESENSE_PROTOCOL to http or https",
    "typesense_connect_timeout_seconds": "set TYPESENSE_CONNECT_TIMEOUT to a number of seconds above 0, at most 10",
    "typesense_timeout_seconds": "set TYPESENSE_TIMEOUT to a number of seconds above 0, at most 30",
    "typesense_index_timeout_seconds": "set TYPESENSE_INDEX_TIMEOUT to a number of seconds from 1 to 3600",
    "search_alias": "set RETAIL_SEARCH_ALIAS to a name of lower-case letters, digits and _, at most 40 long",
    "search_model": "set RETAIL_SEARCH_MODEL to wordllama/256, wordllama/128, wordllama/64, or ts/ and a model of the "
    "Typesense server (26 or later), such as ts/all-MiniLM-L12-v2",
}
"""Setting -> what to do about a value that cannot be used."""


class Settings(BaseSettings):
    """What can be configured. Every variable is `RETAIL_<NAME>` unless an alias is given.

    Attributes:
        data_dir: Root of everything the system writes: landing folder, lake, receipts, services.
        lake_uri: Where the Delta tables live: a folder, or `s3://bucket/prefix`.
        landing_uri: Where senders put files besides the landing folder, `s3://bucket/prefix`; nowhere if empty.
        aws_access_key_id: Whom the object store takes us for (`AWS_ACCESS_KEY_ID`); without one the machine's own role.
        aws_secret_access_key: Secret of that key (`AWS_SECRET_ACCESS_KEY`).
        aws_session_token: Third part of a key that is valid for a while only (`AWS_SESSION_TOKEN`).
        aws_endpoint_url: Address of the object store; Amazon's if empty (`AWS_ENDPOINT_URL`).
        aws_region: Region of the bucket (`AWS_REGION`).
        aws_allow_http: Whether data may be sent unencrypted, to an address of `http://` (`AWS_ALLOW_HTTP`).
        database_type: What the warehouse is: a PostgreSQL, one that is Supabase's, or the local SQLite file alone
            (`DATABASE_TYPE`).
        database_url: SQLAlchemy URL of the warehouse (`postgresql+psycopg://...`), in `DATABASE_URL`. Connections to
            other machines use TLS; `?sslmode=verify-full&sslrootcert=...` also proves which machine answers.
        database_pooler: Whether a transaction pooler stands before the server; `auto` takes port 6543 for one
            (`DATABASE_POOLER`).
        database_pool_size: Connections an engine keeps open; as many again are opened when all are busy
            (`DATABASE_POOL_SIZE`).
        connect_timeout_seconds: Longest time to open a connection (`DATABASE_CONNECT_TIMEOUT`).
        statement_timeout_seconds: Longest time a statement may take; publishes and migrations have their own limits
            (`DATABASE_STATEMENT_TIMEOUT`).
        lock_timeout_seconds: Longest time a statement waits for a lock (`DATABASE_LOCK_TIMEOUT`).
        supabase_url: Address of the Supabase project (`SUPABASE_URL`).
        supabase_anon_key: The project's anonymous or publishable key (`SUPABASE_ANON_KEY`).
        supabase_service_key: The project's service or secret key (`SUPABASE_SERVICE_KEY`).
        enable_supabase_rls: Whether migrations of a Supabase warehouse enable row-level security
            (`ENABLE_SUPABASE_RLS`).
        supabase_anon_access: What the role `anon` may do under row-level security: nothing, or read
            (`SUPABASE_ANON_ACCESS`).
        warehouse_schema: Schema of the star in the warehouse, in `SUPABASE_SCHEMA` or else `RETAIL_WAREHOUSE_SCHEMA`.
        staging_schema: Schema the Gold job loads into before publishing.
        replica_dir: Folder of the SQLite replica and of the record of which side is active.
        replica_journal: How SQLite protects changes of the replica: `wal` on a disk of this machine; `delete` where
            several machines share the folder, as a write-ahead log needs memory that readers and writers share.
        backup_dir: Folder of the backups, best on another disk; by default a folder of the data folder.
        backup_keep: Number of newest whole backups to keep, whatever their age.
        backup_keep_days: Older backups are kept until they reach this age in days; 0 keeps none.
        backup_schedule: When the DAG `retail_backup` runs, in cron's notation and UTC.
        primary_patience_seconds: How long to wait for an unresponsive primary before the replica takes over.
        date_order: How to read `03/04/2010` if nothing in the file shows the order; with `auto` the file is refused.
        decimal_mark: How to read `1.234` if nothing in the file shows the mark; with `auto` the file is refused.
        base_currency: Code of the currency that lines are in which name none, and that everything is added up in. It is
            settled with the first load.
        time_zone: The shop's zone by its name in the IANA database; moments with an offset are brought to it.
        profiles_dir: Folder of the user's own source profiles; by default `profiles` in the data folder.
        poll_seconds: How often the landing folder is scanned.
        settle_seconds: How long a file's size and modification time must not change before it is claimed.
        max_line_bytes: A longer physical line is quarantined instead of being read.
        quality_bar: Overall quality score (0 to 1) below which nothing of a batch is published.
        spark_driver_memory: Heap of a Spark driver or of the Spark Connect server, in Spark's notation.
        spark_conf: More Spark properties, as a JSON object of names and values; they precede the project's own. Secrets
            do not belong there, as they are seen on the command line.
        spark_remote: Where the stages run: in a driver of their own on the Spark connection's master if empty;
            `embedded` for the Spark Connect server of this instance; else the `sc://` address of one elsewhere, which
            may hold a token.
        spark_idle_seconds: After this long without a stage the embedded server is stopped until the next drop.
        spark_stages: After this many stages the embedded server is replaced by a fresh one.
        spark_dir: Folder through which stages find the embedded server; of this machine, by default of the data folder.
        spark_jars_dir: Where the Delta and JDBC jars are kept.
        enable_external_enrichment: Whether outside services may be asked at all (`ENABLE_EXTERNAL_ENRICHMENT`).
        enrichment_batch_size: Most calls a run makes to each outside service; answers from the cache do not count
            (`ENRICHMENT_BATCH_SIZE`).
        currency_api_key: Key of exchangerate-api.com; without one its open endpoint is used (`CURRENCY_API_KEY`).
        exchange_rate_url: Base URL of exchangerate-api.com for calls with a key.
        exchange_rate_open_url: Base URL of exchangerate-api.com for calls without a key.
        rest_countries_url: Base URL of REST Countries.
        datamuse_url: Base URL of Datamuse.
        fx_monthly_budget: Calls to exchangerate-api.com in any 31 days; its free plan allows 1,500 a month.
        breaker_threshold: Failed calls in a row after which a service is not called for a while.
        breaker_reset_seconds: Length of that pause; then one call tries again.
        http_timeout_seconds: Longest time for one call, with its retries and waits.
        api_auth_seconds: How long the API trusts a verified password and the roles of a user; after that at the
            latest, a changed password, a deactivated user and a role taken away are refused.
        api_auth_grace_seconds: Grace period in which already verified callers may read while Airflow's database is
            down.
        api_login_failures: Failed sign-ins of one user from one address, within the window, after which more are
            refused without a look at the password; for one address, or one user from everywhere, 4 times as many.
        api_login_window_seconds: Length of that window.
        api_body_bytes: Largest body of a request to the API, other than an upload.
        api_upload_bytes: Largest upload to the API.
        typesense_nodes: Nodes of the search cluster, `host:port` separated by commas; without any there is no search
            (`TYPESENSE_NODES`).
        typesense_protocol: Protocol of the nodes; beyond this machine and its containers it should be https
            (`TYPESENSE_PROTOCOL`).
        typesense_api_key: Key that may do everything; the indexing uses it (`TYPESENSE_API_KEY`).
        typesense_search_key: Key that may search the products and nothing else (`TYPESENSE_SEARCH_KEY`); the indexing
            registers it with the service. Without it searches use the other key.
        typesense_connect_timeout_seconds: How long a search may wait for a connection (`TYPESENSE_CONNECT_TIMEOUT`).
        typesense_timeout_seconds: How long a search may wait for its answer; of several nodes each gets its share
            (`TYPESENSE_TIMEOUT`).
        typesense_index_timeout_seconds: Longest time for one call of the indexing (`TYPESENSE_INDEX_TIMEOUT`).
        search_alias: Name under which the products are searched; the collections behind it begin with it.
        search_model: What makes the vectors: `wordllama/<dimensions>` here and offline, or `ts/<model>` in the server.
    """

    model_config = SettingsConfigDict(
        env_prefix="RETAIL_",
        env_file=PROJECT_ROOT / ".env",
        # A folder with a file for each secret, named like its variable: how containers are given them.
        secrets_dir=os.environ.get("RETAIL_SECRETS_DIR"),
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = PROJECT_ROOT / "data"
    lake_uri: str = Field(default="", pattern=_LAKE_PATTERN)
    landing_uri: str = Field(default="", pattern=rf"^({_BUCKET_PATTERN})?$")
    aws_access_key_id: SecretStr = Field(default=SecretStr(""), alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr = Field(default=SecretStr(""), alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr = Field(default=SecretStr(""), alias="AWS_SESSION_TOKEN")
    aws_endpoint_url: str = Field(default="", pattern=rf"^$|{_URL_PATTERN}", alias="AWS_ENDPOINT_URL")
    aws_region: str = Field(
        default="us-east-1", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION", "aws_region")
    )
    aws_allow_http: bool = Field(default=False, alias="AWS_ALLOW_HTTP")
    database_type: Literal["postgresql", "supabase", "sqlite"] = Field(default="postgresql", alias="DATABASE_TYPE")
    database_url: SecretStr = Field(default=SecretStr(""), alias="DATABASE_URL")
    database_pooler: Literal["auto", "none", "transaction"] = Field(default="auto", alias="DATABASE_POOLER")
    database_pool_size: int = Field(default=5, ge=1, le=50, alias="DATABASE_POOL_SIZE")
    connect_timeout_seconds: int = Field(default=5, ge=2, le=60, alias="DATABASE_CONNECT_TIMEOUT")
    statement_timeout_seconds: float = Field(default=30.0, gt=0, le=3600, alias="DATABASE_STATEMENT_TIMEOUT")
    lock_timeout_seconds: float = Field(default=10.0, gt=0, le=3600, alias="DATABASE_LOCK_TIMEOUT")
    supabase_url: str = Field(default="", pattern=r"^(https?://[^\s/?#@]+/?)?$", alias="SUPABASE_URL")
    supabase_anon_key: SecretStr = Field(default=SecretStr(""), alias="SUPABASE_ANON_KEY")
    supabase_service_key: SecretStr = Field(default=SecretStr(""), alias="SUPABASE_SERVICE_KEY")
    enable_supabase_rls: bool = Field(default=True, alias="ENABLE_SUPABASE_RLS")
    supabase_anon_access: Literal["none", "read"] = Field(default="none", alias="SUPABASE_ANON_ACCESS")
    warehouse_schema: str = Field(
        default="retail_dwh",
        pattern=_SCHEMA_PATTERN,
        validation_alias=AliasChoices("SUPABASE_SCHEMA", "RETAIL_WAREHOUSE_SCHEMA"),
    )
    staging_schema: str = Field(default="retail_staging", pattern=_SCHEMA_PATTERN)
    replica_dir: Path | None = None
    replica_journal: Literal["wal", "delete"] = "wal"
    backup_dir: Path | None = None
    backup_keep: int = Field(default=7, ge=1, le=1000)
    backup_keep_days: int = Field(default=0, ge=0, le=3660)
    backup_schedule: str = Field(default="30 2 * * *", pattern=r"^[0-9*,/A-Za-z-]+( [0-9*,/A-Za-z-]+){4}$")
    primary_patience_seconds: float = Field(default=10.0, gt=0)
    date_order: Literal["auto", "day_first", "month_first"] = "auto"
    decimal_mark: Literal["auto", "point", "comma"] = "auto"
    time_zone: str = "Europe/London"
    profiles_dir: Path | None = None
    base_currency: str = Field(default="GBP", pattern=rf"^({'|'.join(BASE_CURRENCIES)})$")
    poll_seconds: float = Field(default=1.0, gt=0)
    settle_seconds: float = Field(default=1.0, ge=0)
    max_line_bytes: int = Field(default=1_048_576, ge=1_024)
    quality_bar: float = Field(default=0.85, ge=0, le=1)
    spark_driver_memory: str = Field(default="1500m", pattern=r"^[0-9]+[mg]$")
    spark_conf: dict[str, str] = {}
    spark_remote: SecretStr = Field(default=SecretStr(""))
    spark_idle_seconds: float = Field(default=600.0, gt=0)
    spark_stages: int = Field(default=300, ge=1)
    spark_dir: Path | None = None
    spark_jars_dir: Path | None = None
    enable_external_enrichment: bool = Field(default=False, alias="ENABLE_EXTERNAL_ENRICHMENT")
    enrichment_batch_size: int = Field(default=100, ge=1, le=1000, alias="ENRICHMENT_BATCH_SIZE")
    currency_api_key: SecretStr = Field(default=SecretStr(""), alias="CURRENCY_API_KEY")
    exchange_rate_url: str = Field(default="https://v6.exchangerate-api.com", pattern=_URL_PATTERN)
    exchange_rate_open_url: str = Field(default="https://open.er-api.com", pattern=_URL_PATTERN)
    rest_countries_url: str = Field(default="https://restcountries.com", pattern=_URL_PATTERN)
    datamuse_url: str = Field(default="https://api.datamuse.com", pattern=_URL_PATTERN)
    fx_monthly_budget: int = Field(default=1500, ge=1)
    breaker_threshold: int = Field(default=3, ge=1, le=100)
    breaker_reset_seconds: float = Field(default=300.0, gt=0)
    http_timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    api_auth_seconds: float = Field(default=60.0, ge=0, le=600)
    api_auth_grace_seconds: float = Field(default=3600.0, ge=0, le=86_400)
    api_login_failures: int = Field(default=5, ge=1, le=1000)
    api_login_window_seconds: float = Field(default=300.0, ge=1, le=86_400)
    api_body_bytes: int = Field(default=1_048_576, ge=1024)
    api_upload_bytes: int = Field(default=1_073_741_824, ge=1024)
    typesense_nodes: str = Field(
        default="", pattern=rf"^({_NODE_PATTERN}( *, *{_NODE_PATTERN})*)?$", alias="TYPESENSE_NODES"
    )
    typesense_protocol: Literal["http", "https"] = Field(default="http", alias="TYPESENSE_PROTOCOL")
    typesense_api_key: SecretStr = Field(default=SecretStr(""), alias="TYPESENSE_API_KEY")
    typesense_search_key: SecretStr = Field(default=SecretStr(""), alias="TYPESENSE_SEARCH_KEY")
    typesense_connect_timeout_seconds: float = Field(default=0.5, gt=0, le=10, alias="TYPESENSE_CONNECT_TIMEOUT")
    typesense_timeout_seconds: float = Field(default=1.2, gt=0, le=30, alias="TYPESENSE_TIMEOUT")
    typesense_index_timeout_seconds: float = Field(default=120.0, ge=1, le=3600, alias="TYPESENSE_INDEX_TIMEOUT")
    search_alias: str = Field(default="products", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    search_model: str = Field(
        default="wordllama/256", pattern=r"^(wordllama/(64|128|256)|ts/[A-Za-z0-9][A-Za-z0-9._-]{0,99})$"
    )

    @field_validator("data_dir", "backup_dir", "profiles_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @field_validator(*_REMEDIES, mode="wrap")
    @classmethod
    def _with_remedy(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]["msg"]
        raise ValueError(f"{problem}: {_REMEDIES[str(info.field_name)]}")

    @field_validator(
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "currency_api_key",
        "database_url",
        "spark_remote",
        "supabase_anon_key",
        "supabase_service_key",
        "typesense_api_key",
        "typesense_search_key",
    )
    @classmethod
    def _trimmed(cls, value: SecretStr) -> SecretStr:
        return SecretStr(value.get_secret_value().strip())

    @model_validator(mode="after")
    def _key_is_sent_encrypted(self) -> Self:
        url = urlsplit(self.exchange_rate_url)
        local = url.hostname in {"localhost", "127.0.0.1", "::1"}
        if self.currency_api_key.get_secret_value() and url.scheme != "https" and not local:
            raise ValueError(
                "CURRENCY_API_KEY would be sent unencrypted: let RETAIL_EXCHANGE_RATE_URL begin with https://"
            )
        return self

    @model_validator(mode="after")
    def _backups_lie_apart(self) -> Self:
        covered = [self.replica, *[self.data_dir / name for name in BACKED_UP_FOLDERS]]
        covered += [self.local_lake] if self.local_lake else []
        for folder in covered:
            if self.backups.is_relative_to(folder):
                raise ValueError(
                    f"RETAIL_BACKUP_DIR lies in {folder}, which backups are made of and a restore replaces: "
                    "set it to a folder elsewhere, best on another disk"
                )
        return self

    @field_validator("spark_remote")
    @classmethod
    def _leads_to_a_server(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() not in {"", EMBEDDED} and not value.get_secret_value().startswith("sc://"):
            raise ValueError(
                f"set RETAIL_SPARK_REMOTE to {EMBEDDED}, to an address that begins with sc://, or not at all"
            )
        return value

    @model_validator(mode="after")
    def _search_has_a_key(self) -> Self:
        if self.typesense_nodes and not self.typesense_api_key.get_secret_value():
            raise ValueError("TYPESENSE_NODES is set without a key: set TYPESENSE_API_KEY too, or leave both out")
        return self

    @model_validator(mode="after")
    def _objects_are_sent_encrypted(self) -> Self:
        if self.uses_s3 and self.aws_endpoint_url.startswith("http://") and not self.aws_allow_http:
            raise ValueError(
                "AWS_ENDPOINT_URL begins with http://, so data would be sent unencrypted: let it begin with "
                "https://, or set AWS_ALLOW_HTTP to true"
            )
        return self

    @property
    def search_nodes(self) -> list[tuple[str, int]]:
        """Host and port of each node of the search cluster; the port is the protocol's unless given."""
        usual = 443 if self.typesense_protocol == "https" else 8108
        parts = [node.strip().partition(":") for node in self.typesense_nodes.split(",") if node.strip()]
        return [(host, int(port or usual)) for host, _, port in parts]

    @property
    def row_level_security(self) -> bool:
        """Whether the warehouse's tables are to be under row-level security."""
        return self.database_type == "supabase" and self.enable_supabase_rls

    @property
    def lake(self) -> str:
        """Root URI of the Delta tables, without a trailing slash."""
        return (self.lake_uri or str(self.data_dir / "lake")).rstrip("/").replace("s3a://", "s3://", 1)

    @property
    def lake_on_s3(self) -> bool:
        """Whether the Delta tables are in an object store that speaks S3."""
        return self.lake.startswith("s3://")

    @property
    def uses_s3(self) -> bool:
        """Whether the lake or files that are dropped are in an object store that speaks S3."""
        return self.lake_on_s3 or bool(self.landing_uri)

    def object_store_environment(self) -> dict[str, str]:
        """Return the variables by which delta-rs and Hadoop find the object store; none of those that are not set."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.aws_access_key_id.get_secret_value(),
            "AWS_SECRET_ACCESS_KEY": self.aws_secret_access_key.get_secret_value(),
            "AWS_SESSION_TOKEN": self.aws_session_token.get_secret_value(),
            "AWS_ENDPOINT_URL": self.aws_endpoint_url,
            "AWS_REGION": self.aws_region,
            "AWS_ALLOW_HTTP": "true" if self.aws_allow_http else "",
        }
        return {name: value for name, value in variables.items() if value} if self.uses_s3 else {}

    @property
    def local_lake(self) -> Path | None:
        """Folder of the Delta tables, None if they are in an object store."""
        return None if "://" in self.lake.removeprefix("file://") else Path(self.lake.removeprefix("file://"))

    @property
    def jars(self) -> Path:
        """Folder of the Spark jars."""
        return self.spark_jars_dir or self.data_dir / "services" / "jars"

    @property
    def connect_folder(self) -> Path:
        """Folder through which stages find the embedded Spark Connect server."""
        return self.spark_dir or self.data_dir / "services" / "spark"

    @property
    def api(self) -> Path:
        """Folder of what the workers of the API share."""
        return self.data_dir / "services" / "api"

    @property
    def replica(self) -> Path:
        """Folder of the replica."""
        return self.replica_dir or self.data_dir / "services" / "replica"

    @property
    def backups(self) -> Path:
        """Folder of the backups."""
        return self.backup_dir or self.data_dir / "backups"

    @property
    def profiles(self) -> Path:
        """Folder of the user's own source profiles."""
        return self.profiles_dir or self.data_dir / "profiles"

    def table(self, layer: Literal["bronze", "silver", "reference", "gold", "quality"], name: str) -> str:
        """URI of the Delta table `name` in `layer`."""
        return f"{self.lake}/{layer}/{name}"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process.

    Sets the variables of the object store in the environment, where delta-rs, Hadoop and child processes look for them
    and where those of `.env` are not.

    Raises:
        pydantic.ValidationError: If a variable has an unusable value; the message names it.
    """
    settings = Settings()
    os.environ.update(settings.object_store_environment())
    return settings
