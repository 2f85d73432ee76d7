"""Office: a Dask scheduler in this process to which workers of jobs connect, encrypted and authenticated."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import dask.config
import psutil
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin

from sciflow.clusters.dasked import SETTINGS
from sciflow.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.security import Security

HEARTBEAT_S = 10.0
"""Between two words of a worker that say it lives; Dask's own half a second is most of what an idle driver would do."""

SETTINGS_OF_JOBS: dict[str, Any] = SETTINGS | {
    # a node may be slow to answer while its file system is; that it is gone, the batch system knows better
    "distributed.comm.timeouts.connect": "60s",
    "distributed.comm.timeouts.tcp": "60s",
    # a driver shares its host with others, and does nothing most of the time: what Dask looks at many times a second
    # is of no use here
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.admin.tick.interval": "5s",
    "distributed.admin.system-monitor.interval": "10s",
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A worker came or left.

    Attributes
    ----------
    name
        What its job called it.
    """

    address: str
    name: str
    came: bool


class _Doorman(SchedulerPlugin):
    """Tells who comes and goes, from the thread of the scheduler."""

    def __init__(self, tell: Callable[[Arrival], None]) -> None:
        self._tell = tell
        self._names: dict[str, str] = {}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self._names[worker] = str(scheduler.workers[worker].name)
        self._tell(Arrival(worker, self._names[worker], came=True))

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        del scheduler
        self._tell(Arrival(worker, self._names.pop(worker, ""), came=False))


class Office:
    """The scheduler and a client of it.

    Parameters
    ----------
    security : keys for the scheduler and its workers
    interface : the network interface to listen on, such as ``ib0``; None for that of the default route
    tell : called when a worker comes or goes, from another thread
    """

    def __init__(self, security: Security, interface: str | None, tell: Callable[[Arrival], None]) -> None:
        logging.getLogger("distributed").setLevel(logging.WARNING)  # it tells of each worker and connection otherwise
        _check(interface)
        options: dict[str, Any] = {"interface": interface} if interface else {"host": f"tls://{_own_address()}"}
        with dask.config.set(SETTINGS_OF_JOBS):
            self._scheduler: Any = LocalCluster(
                n_workers=0,
                protocol="tls",
                security=security,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                **options,
            )
            self.client = Client(self._scheduler, set_as_default=False)
        self._scheduler.sync(self._open, _Doorman(tell))

    async def _open(self, doorman: _Doorman) -> None:
        scheduler = self._scheduler.scheduler
        scheduler.add_plugin(doorman)
        scheduler.handlers["heartbeat_worker"] = _seldom(scheduler.handlers["heartbeat_worker"])

    @property
    def address(self) -> str:
        """Where workers connect."""
        return self._scheduler.scheduler_address

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """Call a function, or a coroutine function, in the thread of Dask; from any thread."""
        self._scheduler.loop.add_callback(function, *args)

    def close(self) -> None:
        """Close the scheduler; its workers leave by themselves."""
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            self._scheduler.close(timeout=10)


def _check(interface: str | None) -> None:
    there = psutil.net_if_addrs()
    if interface is not None and interface not in there:
        raise SweepError(
            f"this host has no network interface {interface!r}, it has {', '.join(there)}; "
            "correct interface in site.toml"
        )


def _seldom(hear: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Dask's own answer to a worker that says it lives, but for how soon it is to say so again."""

    @wraps(hear)
    def heard(*args: Any, **facts: Any) -> dict[str, Any]:
        answer = hear(*args, **facts)
        return answer | {"heartbeat-interval": HEARTBEAT_S} if "heartbeat-interval" in answer else answer

    return heard


def _own_address() -> str:
    from distributed.utils import get_ip  # noqa: PLC0415  one of two

    return str(get_ip())
