"""The API's permissions in Airflow, made when the API server starts.

This module imports Airflow; only the API server loads it.
"""

from __future__ import annotations

import logging

from airflow.configuration import conf
from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager
from airflow.utils.session import create_session

from retail_api.access.security import EDIT, READ, RESOURCE

log = logging.getLogger(__name__)

ROLES = {"Viewer": (READ,), "User": (READ,), "Op": (READ, EDIT), "Admin": (READ, EDIT)}
"""Stock role of Airflow -> what it may do."""


def grant() -> None:
    """Make the permissions and give them to the stock roles, as Airflow does with its own at every start.

    Roles are left alone if `[fab] update_fab_perms` is off. Workers that start together may all call this.
    """
    with create_session(scoped=False) as session:
        manager = ApplessAirflowSecurityManager(session=session)
        permissions = {action: manager.create_permission(action, RESOURCE) for action in (READ, EDIT)}
        if not conf.getboolean("fab", "update_fab_perms"):
            return
        for name, actions in ROLES.items():
            role = manager.find_role(name)
            for action in actions if role else ():
                manager.add_permission_to_role(role, permissions[action])
