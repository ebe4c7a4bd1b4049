"""Locks between processes, on one machine or several: rows of a table in the registry's own database."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil

from colorize.registry.errors import RegistryError
from colorize.registry.store import Registry

#: Seconds after which the lock of a holder that gave no sign of life is free; it gives three signs in that time.
LEASE = 120.0
_SECONDS_FOR_THE_DATABASE = 30.0


class LockedError(RegistryError):
    """Somebody else holds the lock; the message says who, since when, and when it will be free at the latest."""


@dataclass(frozen=True, slots=True)
class _Holder:
    token: str
    holder: str
    host: str
    pid: int
    started: float
    since: float
    expires: float


@contextmanager
def lock(registry: Registry, name: str, holder: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock for as long as the block lasts.

    The lock of a process that was killed is free at once for others of its machine, for other machines `LEASE`
    seconds after its last sign of life.

    Args:
        registry: in whose database the lock lies.
        name: of the lock.
        holder: who wants it, for the message that others get.
        patience: seconds to wait for it.

    Raises:
        LockedError: somebody else holds it.
        RegistryError: the registry is an MLflow server, whose database is out of reach, or the database does not
            answer.
    """
    import sqlalchemy
    from sqlalchemy.exc import OperationalError

    if not registry.uri.startswith(("sqlite:///", "postgresql")):
        raise RegistryError(
            f"{registry.uri} is no database, and locks need one; set MLFLOW_TRACKING_URI to the server's "
            "own (postgresql://… or sqlite:///…), and leave the server to people"
        )
    registry.make_folder()
    options = {"timeout": _SECONDS_FOR_THE_DATABASE} if registry.uri.startswith("sqlite") else {}
    engine = sqlalchemy.create_engine(registry.uri, connect_args=options)
    table = _table(sqlalchemy)
    mine = _Holder(
        uuid.uuid4().hex,
        holder,
        socket.gethostname(),
        os.getpid(),
        psutil.Process().create_time(),
        time.time(),
        time.time() + LEASE,
    )
    try:
        table.metadata.create_all(engine)
        name = f"{registry.name}: {name}"
        deadline = time.monotonic() + patience
        while (taken := _acquire(engine, table, name, mine)) is not None:
            if time.monotonic() >= deadline:
                raise LockedError(taken)
            time.sleep(0.2)
    except OperationalError as error:
        engine.dispose()
        raise RegistryError(f"{registry.uri}: the database does not answer ({error.orig}); try again later") from error
    except BaseException:
        engine.dispose()
        raise
    ended = threading.Event()
    signs = threading.Thread(target=_give_signs, args=(engine, table, mine.token, ended), daemon=True)
    signs.start()
    try:
        yield
    finally:
        ended.set()
        signs.join()
        # What the lock was for is done: where the database does not answer, the lease ends by itself.
        with suppress(OperationalError), engine.begin() as connection:
            connection.execute(table.delete().where(table.c.token == mine.token))
        engine.dispose()


def _table(sqlalchemy: Any) -> Any:
    text, number = sqlalchemy.String(256), sqlalchemy.Float
    return sqlalchemy.Table(
        "colorize_locks",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("name", text, primary_key=True),
        sqlalchemy.Column("token", text, nullable=False),
        sqlalchemy.Column("holder", text, nullable=False),
        sqlalchemy.Column("host", text, nullable=False),
        sqlalchemy.Column("pid", sqlalchemy.Integer, nullable=False),
        sqlalchemy.Column("started", number, nullable=False),
        sqlalchemy.Column("since", number, nullable=False),
        sqlalchemy.Column("expires", number, nullable=False),
    )


def _acquire(engine: Any, table: Any, name: str, mine: _Holder) -> str | None:
    """Take the lock; who has it, in a sentence, where it is taken."""
    from sqlalchemy.exc import IntegrityError

    values = {field: getattr(mine, field) for field in _Holder.__slots__}
    with engine.begin() as connection:
        found = connection.execute(table.select().where(table.c.name == name)).mappings().first()
        if found is not None and _is_free(_Holder(**{field: found[field] for field in _Holder.__slots__})):
            # Only the very row that was looked at: another may have taken it, or its holder given a sign, meanwhile.
            row = (table.c.token == found["token"]) & (table.c.expires == found["expires"])
            connection.execute(table.delete().where(row))
    try:
        with engine.begin() as connection:
            connection.execute(table.insert().values(name=name, **values))
    except IntegrityError:
        with engine.connect() as connection:
            found = connection.execute(table.select().where(table.c.name == name)).mappings().first()
        return _sentence(name, found)
    return None


def _is_free(holder: _Holder) -> bool:
    """Whether its lease has run out, or it is a process of this machine that is no more."""
    if holder.expires < time.time():
        return True
    if holder.host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(holder.pid).create_time() - holder.started) > 1.0
    except psutil.NoSuchProcess:
        return True


def _sentence(name: str, found: Any) -> str:
    if found is None:
        return f"'{name}' was locked a moment ago and is free again; try again"
    since, expires = (
        datetime.fromtimestamp(found[field], UTC).isoformat(" ", "seconds") for field in ("since", "expires")
    )
    return (
        f"'{name}' is locked by {found['holder']} (process {found['pid']} on {found['host']}) since {since}; if that "
        f"was killed, the lock is free at {expires} at the latest"
    )


def _give_signs(engine: Any, table: Any, token: str, ended: threading.Event) -> None:
    from sqlalchemy.exc import OperationalError

    while not ended.wait(LEASE / 3):
        try:
            with engine.begin() as connection:
                mine = table.c.token == token
                connection.execute(table.update().where(mine).values(expires=time.time() + LEASE))
        except OperationalError:
            pass  # a busy database: two more signs fit into the lease
