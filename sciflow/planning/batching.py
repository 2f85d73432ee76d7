"""How many variants travel together: enough that sending them is cheap, few enough that nobody waits at the end."""

from __future__ import annotations

from math import ceil

PILOT = 64
"""Most variants in a batch while nobody knows how long one takes; the worker hands back what it cannot do in time."""

LEAST_S = 0.02
"""A batch should keep a worker busy this long: a Dask task costs 1-2 ms, so 5-10 % at most."""


def batch_size(
    n_waiting: int, n_slots: int, variant_s: float | None, *, target_s: float = 2.0, most: int = 100_000
) -> int:
    """Number of variants in the next batch (guided self-scheduling).

    About *target_s* of work, never more than a fair half share of what is waiting, but not so little that
    sending it costs more than doing it.

    Parameters
    ----------
    n_waiting : variants that no worker has yet
    n_slots : batches that can run at the same time
    variant_s : mean seconds per variant so far, or None before the first answer
    """
    share = ceil(n_waiting / (2 * n_slots))
    if variant_s is None:
        return max(1, min(PILOT, share))
    cost_s = max(variant_s, 1e-9)
    worthwhile = int(LEAST_S / cost_s)
    return max(1, min(most, n_waiting, int(target_s / cost_s), max(share, worthwhile)))
