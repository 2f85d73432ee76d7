"""Cost model: what variants and tasks cost against their parameters, learnt as variants finish; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from zlib import crc32

import numpy as np

from sciflow.planning.costfit import CostFit, Samples
from sciflow.planning.features import ABSENT_LABEL, Values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sciflow.planning.features import Floats, Labels
    from sciflow.space.table import Table
    from sciflow.space.variant import Parameter

WALL_S: Final = "wall_s"
CPU_S: Final = "cpu_s"
PEAK_BYTES: Final = "peak_bytes"
"""What is measured of whole variants; `task_measure` names what is measured of one task."""

FEWEST: Final = 4
"""Of fewer samples nothing is said."""
MOST_SAMPLES: Final = 1024
"""Samples kept of each measure, however many variants ran."""

_MORE = 1.25  # fitted again when there are so many times more samples


def task_measure(task: str) -> str:
    """The measure of one task's own seconds."""
    return f"s.{task}"


class CostModel:
    """What is known of the costs of a sweep's variants, and of its tasks.

    It keeps some of the variants that it saw, chosen evenly, so it is as large for 10^6 of them as for 10^4. It is
    fitted when it is asked and a quarter more of them have come, so a few dozen times in a sweep.

    Parameters
    ----------
    parameters : of the space; derived ones are left out, as they follow from the others
    footprints : task → the parameters that its runs depend on; a task that is not named depends on all
    most : samples kept of each measure
    seed : of the choice
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        footprints: Mapping[str, Sequence[str]] | None = None,
        *,
        most: int = MOST_SAMPLES,
        seed: int = 0,
    ) -> None:
        self._parameters = tuple(known for known in parameters if not known.derived)
        self._footprints = {task_measure(task): frozenset(names) for task, names in (footprints or {}).items()}
        self._most, self._seed = most, seed
        self._kept: dict[str, _Reservoir] = {}
        self._unplaced: dict[str, tuple[int, float]] = {}
        self._fits: dict[str, tuple[int, CostFit]] = {}

    @property
    def measures(self) -> tuple[str, ...]:
        """What was measured so far."""
        return tuple(self._kept)

    def n_seen(self, measure: str = WALL_S) -> int:
        """How many variants were seen with this measure."""
        return self._kept[measure].n_seen if measure in self._kept else 0

    def costs(self, measure: str = WALL_S) -> Floats:
        """The costs that are kept of a measure."""
        return self._kept[measure].costs if measure in self._kept else np.zeros(0)

    def observe(self, table: Table, costs: Mapping[str, ArrayLike]) -> None:
        """Learn from variants that ran.

        Parameters
        ----------
        table : their parameters
        costs : measure → one number per row; NaN, or none above 0, where it was not measured
        """
        for measure, given in costs.items():
            array = np.asarray(given, dtype=np.float64)
            measured = np.flatnonzero(np.isfinite(array) & (array > 0))
            if not len(measured):
                continue
            if measure not in self._kept:
                self._kept[measure] = self._new(measure)
            chosen, places = self._kept[measure].choose(len(measured))
            if len(chosen):
                rows = measured[chosen]
                self._kept[measure].put(places, table.take(rows), array[rows])

    def observe_total(self, measure: str, n: int, total: float) -> None:
        """Learn from runs of which only the number and the sum of the costs are known, not the parameters."""
        before = self._unplaced.get(measure, (0, 0.0))
        self._unplaced[measure] = before[0] + n, before[1] + total

    def mean(self, measure: str = WALL_S) -> tuple[int, float]:
        """How many runs are kept of a measure, and their mean cost; NaN of none."""
        n, total = self._unplaced.get(measure, (0, 0.0))
        costs = self.costs(measure)
        n, total = n + len(costs), total + float(costs.sum())
        return n, total / n if n else float("nan")

    def fit(self, measure: str = WALL_S) -> CostFit | None:
        """The model of a measure as of now; None while there are too few samples of it."""
        reservoir = self._kept.get(measure)
        if reservoir is None or reservoir.n_seen < FEWEST:
            return None
        known = self._fits.get(measure)
        if known is None or reservoir.n_seen >= _MORE * known[0]:
            known = self._fits[measure] = reservoir.n_seen, CostFit.of(reservoir.samples())
        return known[1]

    def to_dict(self) -> dict[str, Any]:
        """The samples as plain data; all else follows from them."""
        samples = {measure: reservoir.to_dict() for measure, reservoir in self._kept.items()}
        return {"samples": samples, "totals": {measure: list(one) for measure, one in self._unplaced.items()}}

    def restore(self, data: Mapping[str, Any]) -> Self:
        """Take over the samples that `to_dict` wrote, also for another space; returns the model itself."""
        for measure, (n, total) in data["totals"].items():
            self.observe_total(measure, n, total)
        for measure, stored in data["samples"].items():
            reservoir = self._kept[measure] = self._new(measure)
            reservoir.restore(stored)
        return self

    def _new(self, measure: str) -> _Reservoir:
        wanted = self._footprints.get(measure)
        parameters = tuple(known for known in self._parameters if wanted is None or known.name in wanted)
        seed = (self._seed << 32) + crc32(measure.encode())
        return _Reservoir(parameters, self._most, np.random.Generator(np.random.Philox(seed)))


@dataclass(slots=True, eq=False)
class _Reservoir:
    """Some of the variants seen so far, each as likely as any other (Vitter's algorithm R)."""

    parameters: tuple[Parameter, ...]
    most: int
    rng: np.random.Generator
    n_seen: int = 0
    costs: Floats = field(init=False)
    _numbers: Floats = field(init=False)  # (n, n_parameters), as the labels
    _labels: Labels = field(init=False)

    def __post_init__(self) -> None:
        self.costs = np.zeros(0)
        self._numbers, self._labels = self._blank(0)

    def _blank(self, n: int) -> tuple[Floats, Labels]:
        shape = n, len(self.parameters)
        return np.full(shape, np.nan), np.full(shape, ABSENT_LABEL, dtype=object)

    def choose(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of *n* more variants: which are kept, and in which places."""
        ordinals = np.arange(self.n_seen, self.n_seen + n)
        places = np.where(ordinals < self.most, ordinals, self.rng.integers(0, ordinals + 1))
        self.n_seen += n
        chosen = np.flatnonzero(places < self.most)
        return chosen, places[chosen]

    def put(self, places: NDArray[np.int64], table: Table, costs: Floats) -> None:
        """Keep the rows of *table* in these places."""
        more = int(places.max()) + 1 - len(self.costs)
        if more > 0:
            numbers, labels = self._blank(more)
            self.costs = np.concatenate([self.costs, np.zeros(more)])
            self._numbers = np.concatenate([self._numbers, numbers])
            self._labels = np.concatenate([self._labels, labels])
        self.costs[places] = costs
        for k, known in enumerate(self.parameters):
            column = table.columns.get(known.name)
            if column is not None:
                values = Values.of(column)
            elif known.has_default:  # recorded before the parameter was added
                values = Values.constant(known.default, table.n_rows)
            else:
                values = Values.absent(table.n_rows)
            self._numbers[places, k] = values.numbers[values.codes]
            self._labels[places, k] = values.labels[values.codes]

    def samples(self) -> Samples:
        """What is kept."""
        names = [known.name for known in self.parameters]
        return Samples(
            {name: self._numbers[:, k] for k, name in enumerate(names)},
            {name: self._labels[:, k] for k, name in enumerate(names)},
            self.costs,
        )

    def to_dict(self) -> dict[str, Any]:
        """What is kept, as plain data: labels are texts."""
        numbers, labels = self._numbers.T.tolist(), self._labels.T.tolist()
        parameters = {
            known.name: [one if label is None else label for one, label in zip(mine, theirs, strict=True)]
            for known, mine, theirs in zip(self.parameters, numbers, labels, strict=True)
        }
        return {"n_seen": self.n_seen, "costs": self.costs.tolist(), "parameters": parameters}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Keep what `to_dict` wrote."""
        self.n_seen, self.costs = data["n_seen"], np.array(data["costs"], dtype=np.float64)
        self._numbers, self._labels = self._blank(len(self.costs))
        for k, known in enumerate(self.parameters):
            for row, value in enumerate(data["parameters"].get(known.name, ())):
                if isinstance(value, str):
                    self._labels[row, k] = value
                else:
                    self._numbers[row, k], self._labels[row, k] = value, None
