"""Patience: what several commands may take together."""

from __future__ import annotations

import time


class Patience:
    """The time that is left for all commands together.

    Parameters
    ----------
    seconds : from now
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds that are left.

        Raises
        ------
        TimeoutError
            None are.
        """
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"Git took more than {self.seconds:.0f} s")
        return left_s

    def end(self) -> None:
        """Start no further command."""
        self._end = 0.0
