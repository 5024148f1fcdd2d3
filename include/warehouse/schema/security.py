"""Row-level security of a warehouse on Supabase: what the roles behind its keys may do.

Supabase hands every request to PostgreSQL as one of three roles: `anon` (the public key), `authenticated` (a user who
signed in) or `service_role` (the secret key). The role that owns the tables, which is the pipeline's, is not affected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from include.domain.model import Model
from include.settings import Settings
from include.warehouse.connection.engine import WarehouseMisconfigured
from include.warehouse.schema.tables import PRIVATE_TABLES

ANON, AUTHENTICATED, SERVICE_ROLE = "anon", "authenticated", "service_role"
ROLES = (ANON, AUTHENTICATED, SERVICE_ROLE)
PUBLIC = "public"
"""Every role there is; no role can have this name."""

POLICY_PREFIX = "retail_"
"""What the names of our policies begin with; others are left alone."""

_READ = frozenset({"SELECT"})
_WRITE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_USAGE = frozenset({"USAGE"})

_RELATIONS = """
SELECT c.relname AS name, c.relkind IN ('r', 'p') AS is_table, c.relkind = 'v' AS is_view, c.relrowsecurity AS secured,
       coalesce('security_invoker=true' = ANY (c.reloptions), false) AS as_invoker
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1
"""
_RELATION_GRANTS = """
SELECT c.relname AS name, coalesce(r.rolname, 'public') AS role, a.privilege_type AS privilege
FROM pg_class c
CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
"""
_SCHEMA_GRANTS = """
SELECT n.nspname AS name, coalesce(r.rolname, 'public') AS role, a.privilege_type AS privilege
FROM pg_namespace n
CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE n.nspname = :schema
"""
_POLICIES = """
SELECT tablename AS name, policyname AS policy, CAST(roles AS text[]) AS roles, cmd AS command, permissive,
       qual AS using, with_check AS checked
FROM pg_policies WHERE schemaname = :schema ORDER BY 1, 2
"""


class SecurityReport(Model):
    """What the roles may do, and what had to be changed for it.

    Attributes:
        tables: Tables under row-level security.
        views: Views that show a reader what it may see in the tables.
        changes: Statements that were run; none if everything was as it should be.
        other_policies: Policies that somebody else made, `table: policy`; they may allow more than ours.
    """

    tables: list[str]
    views: list[str]
    changes: list[str]
    other_policies: list[str]


class _Policy(NamedTuple):
    role: str
    command: str

    def state(self) -> tuple[Any, ...]:
        """Return the policy as pg_policies shows it."""
        return [self.role], self.command, "PERMISSIVE", "true", "true" if self.command == "ALL" else None


def enforce(connection: Connection, settings: Settings) -> SecurityReport:
    """Put every table of the warehouse under row-level security; change nothing that is right.

    `anon` may do nothing, or read if the settings say so; `authenticated` may read; `service_role` may read and write.
    Private tables are for `service_role` alone. None of them reaches the staging schema.

    Raises:
        WarehouseMisconfigured: If the database has no such roles, or the tables belong to another role than ours.
    """
    _require_roles(connection)
    state = _State(connection, settings)
    changes = list(state.changes())
    try:
        for statement in changes:
            connection.execute(text(statement))
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise WarehouseMisconfigured(
                f"Row-level security cannot be enabled: {str(error.orig).splitlines()[0]}. "
                "Let DATABASE_URL connect as the role that owns the warehouse's tables."
            ) from error
        raise
    return SecurityReport(
        tables=[relation["name"] for relation in state.relations if relation["is_table"]],
        views=[relation["name"] for relation in state.relations if relation["is_view"]],
        changes=changes,
        other_policies=[
            f"{table}: {policy}"
            for table, policies in state.policies.items()
            for policy in policies
            if not policy.startswith(POLICY_PREFIX)
        ],
    )


def unsecured(connection: Connection, settings: Settings) -> list[str]:
    """Return the tables without row-level security and the views that show more than their reader may see."""
    relations = connection.execute(text(_RELATIONS), {"schema": settings.warehouse_schema}).mappings()
    return [
        relation["name"]
        for relation in relations
        if (relation["is_table"] and not relation["secured"]) or (relation["is_view"] and not relation["as_invoker"])
    ]


class _State:
    """What the catalogue says of the warehouse's relations, and how that differs from what it should say."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._quote = connection.dialect.identifier_preparer.quote_identifier
        self._connection = connection
        self.settings = settings
        self.schema = settings.warehouse_schema
        self.relations = self._rows(_RELATIONS)
        self.policies: dict[str, dict[str, tuple[Any, ...]]] = defaultdict(dict)
        for row in self._rows(_POLICIES):
            state = (row["roles"], row["command"], row["permissive"], row["using"], row["checked"])
            self.policies[row["name"]][row["policy"]] = state

    def changes(self) -> Iterator[str]:
        """Yield the statements that make the differences go away."""
        readers = [AUTHENTICATED, *([ANON] if self.settings.supabase_anon_access == "read" else [])]
        usage = dict.fromkeys([*readers, SERVICE_ROLE], _USAGE)
        yield from self._grants(_SCHEMA_GRANTS, self.schema, "SCHEMA {}", {self.schema: usage})
        staging = self.settings.staging_schema
        yield from self._grants(_SCHEMA_GRANTS, staging, "SCHEMA {}", {staging: {}})
        privileges = dict.fromkeys(readers, _READ) | {SERVICE_ROLE: _WRITE}
        private = {SERVICE_ROLE: _WRITE}
        relations = {
            relation["name"]: private if relation["name"] in PRIVATE_TABLES else privileges
            for relation in self.relations
        }
        yield from self._grants(_RELATION_GRANTS, self.schema, f"TABLE {self._quote(self.schema)}.{{}}", relations)
        for relation in self.relations:
            name = f"{self._quote(self.schema)}.{self._quote(relation['name'])}"
            if relation["is_table"]:
                if not relation["secured"]:
                    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
                allowed = [] if relation["name"] in PRIVATE_TABLES else readers
                yield from self._policy_changes(relation["name"], name, allowed)
            elif relation["is_view"] and not relation["as_invoker"]:
                yield f"ALTER VIEW {name} SET (security_invoker = true)"

    def _policy_changes(self, table: str, quoted: str, readers: list[str]) -> Iterator[str]:
        wanted = {f"{POLICY_PREFIX}{role}_reads": _Policy(role, "SELECT") for role in readers}
        wanted[f"{POLICY_PREFIX}{SERVICE_ROLE}_does_all"] = _Policy(SERVICE_ROLE, "ALL")
        found = {name: state for name, state in self.policies[table].items() if name.startswith(POLICY_PREFIX)}
        right = {name for name, policy in wanted.items() if found.get(name) == policy.state()}
        for name in found.keys() - right:
            yield f"DROP POLICY {self._quote(name)} ON {quoted}"
        for name, policy in wanted.items():
            if name not in right:
                checked = " WITH CHECK (true)" if policy.command == "ALL" else ""
                yield f"CREATE POLICY {name} ON {quoted} FOR {policy.command} TO {policy.role} USING (true){checked}"

    def _grants(
        self, query: str, schema: str, target: str, wanted: Mapping[str, Mapping[str, frozenset[str]]]
    ) -> Iterator[str]:
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in self._rows(query, schema):
            found[row["name"], row["role"]].add(row["privilege"])
        for name, by_role in wanted.items():
            on = f"ON {target.format(self._quote(name))}"
            for role in (PUBLIC, *ROLES):
                has, needs = found[name, role], by_role.get(role, frozenset())
                if has - needs:
                    yield f"REVOKE {', '.join(sorted(has - needs))} {on} FROM {role}"
                if needs - has:
                    yield f"GRANT {', '.join(sorted(needs - has))} {on} TO {role}"

    def _rows(self, query: str, schema: str | None = None) -> list[Mapping[str, Any]]:
        parameters = {"schema": schema or self.schema}
        return [dict(row) for row in self._connection.execute(text(query), parameters).mappings()]


def _require_roles(connection: Connection) -> None:
    query = text("SELECT rolname FROM pg_roles WHERE rolname = ANY (:roles)")
    found = set(connection.execute(query, {"roles": list(ROLES)}).scalars())
    missing = [role for role in ROLES if role not in found]
    if missing:
        raise WarehouseMisconfigured(
            f"The database has no role {', '.join(missing)}, so it is not Supabase's: let DATABASE_URL lead to the "
            "project's database, or set DATABASE_TYPE to postgresql or ENABLE_SUPABASE_RLS to false."
        )
