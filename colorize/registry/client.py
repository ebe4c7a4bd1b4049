"""MLflow's own client, made when it is needed, and quiet."""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any, cast

from colorize.registry.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(uri: str) -> MlflowClient:
    """MLflow's client of a store, which says in one line when the database does not answer.

    Args:
        uri: `sqlite:///path`, `postgresql://…`, or `http(s)://…` of a server.
    """
    # MLflow and alembic tell of every table they make, and of errors, with the SQL, that are raised as well.
    for chatty, level in {"mlflow": "WARNING", "alembic": "WARNING", "mlflow.store.db.utils": "CRITICAL"}.items():
        logging.getLogger(chatty).setLevel(level)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return cast("MlflowClient", _Client(MlflowClient(tracking_uri=uri, registry_uri=uri), uri))


class _Client:
    """Passes calls on."""

    def __init__(self, client: Any, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        @functools.wraps(call)
        def answered(*arguments: Any, **options: Any) -> Any:
            from mlflow.exceptions import MlflowException

            try:
                return call(*arguments, **options)
            except MlflowException as error:
                if error.error_code != "TEMPORARILY_UNAVAILABLE":
                    raise
                said = str(error).partition("\n")[0]
                raise RegistryError(
                    f"{self._uri}: the database does not answer ({said}); try again when whoever keeps it busy is done"
                ) from error

        return answered
