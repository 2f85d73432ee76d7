"""OthersLoad: how much of this machine others keep busy."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

_FIRST_S = 0.5  # how long the first answer takes
_KEEP_S = 5.0  # how long an answer is good for


@dataclass(slots=True)
class OthersLoad:
    """Call it for the part of this machine's cores that others keep busy, from 0 to 1.

    What this process and those that it started use does not count. Answers are of the last seconds.
    """

    _before: Reading | None = field(default=None, init=False)
    _value: float = field(default=0.0, init=False)

    def __call__(self) -> float:
        """The part of the cores."""
        if self._before is None:
            self._before = Reading.take()
            time.sleep(_FIRST_S)
        elif time.monotonic() - self._before.at < _KEEP_S:
            return self._value
        now = Reading.take()
        self._value, self._before = now.others_since(self._before), now
        return self._value


@dataclass(frozen=True, slots=True)
class Reading:
    """Seconds of processor time used so far.

    Parameters
    ----------
    at : when, by the monotonic clock
    busy_s, total_s : of all cores: spent on anybody's work, and in all
    ours_s : by each of our processes, by its id
    """

    at: float
    busy_s: float
    total_s: float
    ours_s: dict[int, float]

    @classmethod
    def take(cls) -> Reading:
        """Of now."""
        import psutil  # noqa: PLC0415  only for policies that ask

        times = psutil.cpu_times()
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        # a guest's time is part of the user's
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        ours_s: dict[int, float] = {}
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):  # it has just ended
                used = process.cpu_times()
                ours_s[process.pid] = used.user + used.system
        return cls(time.monotonic(), total_s - idle_s, total_s, ours_s)

    def others_since(self, before: Reading) -> float:
        """The part of all cores that others have used since."""
        total_s = self.total_s - before.total_s
        ours_s = sum(used_s - before.ours_s.get(pid, 0.0) for pid, used_s in self.ours_s.items())
        if total_s <= 0:
            return 0.0
        return min(1.0, max(0.0, (self.busy_s - before.busy_s - ours_s) / total_s))
