"""Children: worker processes without Dask, each fed through a socket pair."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import cloudpickle

from sciflow import interpreter
from sciflow.clusters.protocol import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from sciflow.planning.batch import Batch


class Children:
    """A few worker processes that start fast.

    Parameters
    ----------
    n_slots : how many
    payload : what they run
    environment : variables to set for them, such as thread counts
    answers : where answers go
    """

    def __init__(
        self,
        n_slots: int,
        payload: bytes,
        environment: Mapping[str, str],
        answers: queue.SimpleQueue[Answer],
    ) -> None:
        self.n_slots = n_slots
        self._payload, self._environment, self._answers = payload, environment, answers
        self._children = [self._new() for _ in range(n_slots)]

    def _new(self) -> _Child:
        return _Child(self._payload, interpreter.environment(self._environment), self._answers)

    def submit(self, batch: Batch) -> None:
        """Send a batch to the child that has the least to do; replace a dead one first."""
        for k, child in enumerate(self._children):
            if child.dead:
                child.close()
                self._children[k] = self._new()
        min(self._children, key=lambda child: child.n_waiting).submit(batch)

    @property
    def idle(self) -> bool:
        """Whether every batch has been answered."""
        return all(child.n_waiting == 0 for child in self._children)

    def drain(self) -> None:
        """Tell every child to start no further variant."""
        for child in self._children:
            child.drain()

    def close(self) -> None:
        """End every child."""
        for child in self._children:
            child.close()


class _Child:
    """One process with what it starts, our end of its socket pair, and the threads that look after both.

    A process that a task forked has the child's end of the pair too, and may outlive the child: that the child is gone
    is told by the child, and not by the end of the stream alone.
    """

    def __init__(self, payload: bytes, environment: dict[str, str], answers: queue.SimpleQueue[Answer]) -> None:
        self._answers = answers
        self._waiting: dict[int, Batch] = {}
        self._lock = threading.Lock()
        self.dead = False
        ours: Connection[Any, Any]
        theirs: Connection[Any, Any]
        ours, theirs = multiprocessing.Pipe()
        self._connection = ours
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                interpreter.command("sciflow.clusters.child", str(theirs.fileno())),
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the driver's to handle
            )
        with contextlib.suppress(OSError):  # it died at once: the reader finds out
            ours.send([*sys.path])
            ours.send_bytes(payload)
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._watch, self._send)]
        for thread in self._threads:
            thread.start()

    @property
    def n_waiting(self) -> int:
        """Batches without an answer."""
        return len(self._waiting)

    def submit(self, batch: Batch) -> None:
        """Send a batch; if the child is dead, that is the answer."""
        with self._lock:
            if not self.dead:
                self._waiting[batch.number] = batch
                self._outbox.put(batch)
                return
        self._answers.put(Answer(batch))

    def drain(self) -> None:
        """Tell the child to start no further variant."""
        self._outbox.put("drain")

    def _send(self) -> None:
        """Send what is to be sent; a child that holds the interpreter takes nothing, and must not keep the driver."""
        with contextlib.suppress(OSError):  # it has died: the reader answers for it
            while (message := self._outbox.get()) is not None:
                self._connection.send(message)

    def _listen(self) -> None:
        while True:
            try:
                number, ack, error = cloudpickle.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                break
            with self._lock:
                batch = self._waiting.pop(number)
            self._answers.put(Answer(batch, ack, error))
        with self._lock:
            self.dead = True
            lost, self._waiting = list(self._waiting.values()), {}
        how = _how_it_ended(self._process)
        self._end()
        for batch in lost:
            self._answers.put(Answer(batch, how=how))

    def _watch(self) -> None:
        """When the process is gone, end what it left behind, and the stream for the thread that reads it."""
        self._process.wait()
        self._kill_group()
        with socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)  # what has come is read all the same
        self._outbox.put(None)

    def _end(self) -> None:
        if self._process.poll() is None:  # later its number may be another's
            self._kill_group()

    def _kill_group(self) -> None:
        """End the process and all that it started, unless they left its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with self._lock:
            self._waiting = {}
        self._end()
        for thread in self._threads:
            thread.join()
        self._connection.close()


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Say in two words how a process ended."""
    try:
        status = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return "it closed its connection, or became another program"
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"signal {-status} ({signal.Signals(-status).name})"
    return f"signal {-status}"
