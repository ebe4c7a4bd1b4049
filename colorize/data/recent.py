"""A small cache of what was used last, which threads can share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The values that were used last, so many at most. Threads can share it: each value is made once."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: OrderedDict[object, Future[T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The value of `key`, made if it is not here; who comes while another thread makes it waits."""
        with self._lock:
            if (value := self._values.get(key)) is not None:
                self._values.move_to_end(key)
            else:
                made: Future[T] = Future()
                self._values[key] = made
                if len(self._values) > self._capacity:
                    self._values.popitem(last=False)
        if value is not None:
            return value.result()
        try:
            made.set_result(make())
        except BaseException as error:
            with self._lock:
                self._values.pop(key, None)
            made.set_exception(error)
        return made.result()
