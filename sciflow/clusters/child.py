"""A worker process without Dask: starts in a fifth of a second, and works while Dask comes up.

The parent holds one end of a socket pair. A child whose parent is gone reads the end of the stream and exits, at
once, whatever it is doing.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from sciflow.errors import SciflowError


def main(descriptor: int) -> None:
    """Answer batches until the parent closes the connection."""
    parent: Connection[Any, Any] = Connection(descriptor)
    os.set_inheritable(descriptor, False)  # programs that a task starts or becomes have nothing to do with it
    sys.path[:] = parent.recv()
    payload: bytes = parent.recv_bytes()
    batches: queue.SimpleQueue[Any] = queue.SimpleQueue()
    work: list[Any] = []
    threading.Thread(target=_listen, args=(parent, batches, work), daemon=True).start()
    while True:
        batch = batches.get()
        try:
            if not work:
                work.append(cloudpickle.loads(payload))
            answer = cloudpickle.dumps((batch.number, work[0](batch), None))
        except Exception as error:  # noqa: BLE001  it is the driver's to judge
            answer = cloudpickle.dumps((batch.number, None, _sendable(error)))
        try:
            parent.send_bytes(answer)
        except OSError:  # the parent is gone; what is committed stays
            return
        if work and work[0].is_spent:  # it holds memory that it does not use; another process takes over
            return


def _sendable(error: Exception) -> Exception:
    """The error, or its words where it does not survive the way; what is not ours tells where it was raised."""
    if not isinstance(error, SciflowError | OSError):
        error.add_note(f"in worker process {os.getpid()}:\n{''.join(traceback.format_exception(error))}")
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:  # noqa: BLE001  whatever its class does on the way
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _listen(parent: Connection[Any, Any], batches: queue.SimpleQueue[Any], work: list[Any]) -> None:
    while True:
        try:
            message = parent.recv()
        except (EOFError, OSError):
            os._exit(0)
        if message == "drain":
            if work:
                work[0].drain()
        else:
            batches.put(message)


if __name__ == "__main__":
    main(int(sys.argv[1]))
