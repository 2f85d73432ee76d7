"""What a user holds of a sweep's results: a thin handle on its directory."""

from __future__ import annotations

import difflib
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sciflow.analysis.dataset import to_dataset
from sciflow.analysis.exports.write import export_results
from sciflow.analysis.failures import group_failures
from sciflow.analysis.grouping import REPLICATE
from sciflow.analysis.lookup import metric_of
from sciflow.analysis.metadata import differences
from sciflow.analysis.mixture import code_or_inputs, mixture_words, warn_of_mixture
from sciflow.analysis.optimum import find_best, find_optimum
from sciflow.analysis.pareto import pareto_front
from sciflow.analysis.prov_document import prov_document
from sciflow.analysis.reductions import with_reductions
from sciflow.analysis.sample import take_sample
from sciflow.analysis.surroundings import count_environments
from sciflow.analysis.trace import trace_variant
from sciflow.analysis.variants import Variants
from sciflow.errors import ResultsError, WorkflowError
from sciflow.figures.spec import Figure as FigureSpec
from sciflow.figures.spec import parse_figure
from sciflow.figures.types import TYPES as FIGURE_TYPES
from sciflow.store.assemble import assemble
from sciflow.store.assembled import STATUS_MEANINGS
from sciflow.store.description import describe_sweep
from sciflow.store.directory import SweepDirectory
from sciflow.store.origins import origins_of
from sciflow.store.reproductions import keep_reproduction, reproductions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from prov.model import ProvDocument

    from sciflow.analysis.convergence import Convergence
    from sciflow.analysis.objective import Metric
    from sciflow.analysis.optimum import Optimum
    from sciflow.analysis.performance import Performance
    from sciflow.analysis.refinement.suggest import Around
    from sciflow.analysis.sensitivity import Sensitivity
    from sciflow.analysis.success import Success
    from sciflow.analysis.trace import Trace
    from sciflow.space.algebra import Space
    from sciflow.space.variant import Variant
    from sciflow.store.assembled import Assembled
    from sciflow.store.origins import Origin
    from sciflow.store.snapshot import Snapshot

RESULTS_FILE = "results.h5"


def open_results(path: Path | str) -> Results:
    """The results of the sweep in the directory *path*, also while it runs.

    Nothing is read yet but who the sweep belongs to; neither Dask nor the workflow's code is needed.

    Raises
    ------
    FormatError
        There is no sweep, or a newer release wrote it.
    """
    return Results(SweepDirectory.open(path))


class Results:
    """The results of a sweep, as they are when they are first looked at; `refresh` looks again.

    Get one with `sciflow.open_results`, or from ``Engine.execute_parameter_sweep``.

    Examples
    --------
    >>> results = sciflow.open_results("sweeps/decay")  # doctest: +SKIP
    >>> results.find_optimal_parameters("half_life", maximize=False)  # doctest: +SKIP
    Variant(rate=0.2)
    """

    def __init__(self, directory: SweepDirectory) -> None:
        self._directory = directory
        self._snapshot: Snapshot | None = None

    # --------------------------------------------------------------------------------------------------- where, when

    @property
    def directory(self) -> Path:
        """The sweep directory."""
        return self._directory.path

    @property
    def results_file(self) -> Path:
        """The consolidated dataset, which other tools open; it exists once the sweep has run for a while."""
        return self.directory / RESULTS_FILE

    def refresh(self) -> None:
        """Look at the sweep again: what was committed since is there from now on."""
        for name in ("_assembled", "_variants", "dataset"):
            self.__dict__.pop(name, None)
        self._snapshot = self._directory.snapshot(self._snapshot)

    def watch(self, every_s: float | None = None) -> None:
        """Show how the sweep goes until nobody works on it: a view that changes in a notebook, lines elsewhere.

        Then these results are those of the end. An interrupt ends the view and leaves the sweep alone.

        Parameters
        ----------
        every_s
            Seconds between two looks; 1 in a notebook and 10 elsewhere unless given.
        """
        from sciflow.analysis.live import watch_sweep  # noqa: PLC0415  seldom asked for

        watch_sweep(self.directory, every_s)
        self.refresh()

    @cached_property
    def _assembled(self) -> Assembled:
        if self._snapshot is None:
            self._snapshot = self._directory.snapshot()
        return self._assemble("auto")

    def _assemble(self, layout: Literal["auto", "dense", "flat"]) -> Assembled:
        return assemble(self._directory, layout, self._snapshot)

    @cached_property
    def _variants(self) -> Variants:
        return Variants(self._assembled)

    # -------------------------------------------------------------------------------------------------------- tables

    @cached_property
    def dataset(self) -> xr.Dataset:
        """Everything, labelled: one dimension per parameter if the space is a product of axes, else ``variant``.

        ``status`` says what became of each variant (``done``, ``failed``, ``missing``). Outputs that are
        arrays are read when they are computed.
        """
        dataset = with_reductions(to_dataset(self._assembled, self._variants), self.directory)
        return dataset.assign_attrs(self._marks())

    def to_dataset(self, layout: Literal["dense", "flat"]) -> xr.Dataset:
        """The dataset in one of its forms: a dimension per parameter, or one dimension ``variant``.

        Raises
        ------
        ResultsError
            The sweep has no dense form, or *layout* is neither of the two.
        """
        if layout not in {"dense", "flat"}:
            raise ResultsError(f"layout {layout!r} is unknown; it is 'dense' or 'flat'")
        if layout == self._assembled.layout:
            return self.dataset
        return with_reductions(to_dataset(self._assemble(layout)), self.directory).assign_attrs(self._marks())

    def to_dataframe(self) -> pd.DataFrame:
        """One row per variant: parameters, status, and the outputs that are one value each; ids are the index.

        Only if code or inputs other than those of the newest definition made some results there is a column ``stale``,
        which says of each whether they did.
        """
        return self._variants.frame.copy()

    def query(self, condition: str) -> pd.DataFrame:
        """The rows of `to_dataframe` for which a condition holds.

        Parameters
        ----------
        condition
            Such as ``"learning_rate < 0.05 and status == 'done'"``, after `pandas.DataFrame.query`;
            ``"not stale"`` leaves out what older code made.

        Raises
        ------
        ResultsError
            The condition is not understood or names an unknown column.
        """
        return self._variants.frame.loc[self._variants.matching(condition)].copy()

    def status(self) -> dict[str, int]:
        """How many variants are ``done``, ``failed`` and ``missing``."""
        return self._variants.counts()

    def failures(self) -> pd.DataFrame:
        """What went wrong, one row per reason, the most frequent first.

        ``separated_by`` says which values of single parameters occur among these failures and in no variant
        that is done.
        """
        return group_failures(self._variants, self._assembled.messages)

    def performance(self) -> Performance:
        """Where the time went: per task, what it depends on, how busy workers were, and what would help."""
        from sciflow.analysis.performance import measure_performance  # noqa: PLC0415  seldom asked for

        return measure_performance(self._directory, self._assembled)

    def runs(self) -> xr.Dataset:
        """When and where each recorded attempt at a variant ran, along ``run``; what later ones replaced is there too.

        ``start_s`` (Unix seconds), ``runtime_s``, ``worker``, ``session`` and ``status``.
        """
        from sciflow.analysis.runs import read_runs  # noqa: PLC0415  seldom asked for

        return read_runs(self._directory).assign_attrs(self._marks())

    def costs(self) -> xr.Dataset:
        """The dataset with what each variant took: ``runtime_s``, and ``peak_bytes``, memory of the process it ran in.

        A process that ran several variants since it last wrote down results says its memory of them together.
        """
        from sciflow.analysis.runs import with_memory  # noqa: PLC0415  seldom asked for

        return with_memory(self.dataset, self._assembled)

    # ------------------------------------------------------------------------------------------------------ variants

    def find_optimal_parameters(
        self,
        metric: Metric,
        maximize: bool = True,  # noqa: FBT001, FBT002  users write maximize=True, and the first example has it so
        *,
        where: str | None = None,
        over: str | Iterable[str] | None = REPLICATE,
        top: int = 1,
    ) -> Any:
        """The variant with the best value of a metric; a list of the best ones if *top* is more than 1.

        Failed and missing variants, and NaN, never win. A tie is told by a warning, and that different code made what
        is compared. `optimum` says how sure the best is.

        Parameters
        ----------
        metric
            A name. Or a mapping of names to weights, such as ``{"accuracy": 1, "runtime_s": -0.1}``: each metric is
            scaled to 0 for the smallest mean of all candidates and 1 for the largest, and the weighted sum is ranked.
            Or a sequence, ranked by its first entry, and where that is equal by the next: names,
            ``(name, "max" | "min")``, or ``(name, "max" | "min", tolerance)`` where smaller differences do not matter.
        where
            Choose among the variants for which this condition holds, as in `query`. A condition on metrics is asked of
            their means over replicates, unless it also names ``replicate`` or what became of a variant.
        over
            Parameters to average over: variants that differ only in these are ranked by their mean, as far
            as all of them are done, and returned without them. None ranks single variants.

        Raises
        ------
        ResultsError
            There is no such metric, or no variant has a value of it.
        """
        best = find_best(self._variants, metric, maximize=maximize, where=where, over=over, top=top)
        return best if top > 1 else best[0]

    def optimum(
        self,
        metric: Metric,
        maximize: bool = True,  # noqa: FBT001, FBT002  as in find_optimal_parameters
        *,
        where: str | None = None,
        over: str | Iterable[str] | None = REPLICATE,
        tolerance: float | None = None,
        confidence: float = 0.95,
    ) -> Optimum:
        """The best variant with the confidence interval of its value, ties, and which others are as good.

        Parameters
        ----------
        metric, maximize, where, over
            As in `find_optimal_parameters`.
        tolerance
            Variants whose mean is worse by this at most are as good. By default a test against the best decides if
            there are replicates, else 1 % of the metric's extent.

        Raises
        ------
        ResultsError
            There is no such metric, or no variant has a value of it.
        """
        return find_optimum(
            self._variants,
            metric,
            maximize=maximize,
            where=where,
            over=over,
            tolerance=tolerance,
            confidence=confidence,
        )

    def pareto_front(
        self,
        directions: Mapping[str, str],
        *,
        where: str | None = None,
        over: str | Iterable[str] | None = REPLICATE,
    ) -> pd.DataFrame:
        """The variants that no other one beats in every metric: parameters and means, best by the first metric first.

        Parameters
        ----------
        directions
            Metric to ``"max"`` or ``"min"``, such as ``{"accuracy": "max", "runtime_s": "min"}``.
        where, over
            As in `find_optimal_parameters`.

        Raises
        ------
        ResultsError
            There is no such metric, or no variant has a value of each.
        """
        return pareto_front(self._variants, directions, where=where, over=over)

    def iter_variants(self, where: str | None = None) -> Iterator[tuple[Variant, dict[str, Any]]]:
        """Each variant with what is recorded of it, in the order of the space, a few at a time.

        ``status``, ``attempt``, ``runtime_s`` and ``failure`` of each, and its outputs if it is done.

        Parameters
        ----------
        where
            Only variants for which this condition holds, as in `query`.

        Raises
        ------
        ResultsError
            The condition is not understood.
        """
        variants = self._variants
        rows = np.arange(variants.n) if where is None else np.flatnonzero(variants.matching(where))
        return variants.each(rows)

    def get_metric(self, params: Variant | Mapping[str, object] | str, metric: str) -> Any:
        """The value of a metric of one variant, averaged over its replicates.

        Parameters
        ----------
        params
            A variant, its parameters, or its id. Parameters with a default may be left out. With
            ``replicate`` among the parameters one replicate is meant, else all of them.

        Raises
        ------
        ResultsError
            There is no such metric or variant, several variants fit, or it is not done.
        """
        return metric_of(self._variants, params, metric)

    # ---------------------------------------------------------------------------------------------------- statistics

    def summary(
        self,
        by: str | Sequence[str] | None = None,
        metrics: str | Sequence[str] | None = None,
        *,
        where: str | None = None,
        confidence: float = 0.95,
    ) -> pd.DataFrame:
        """Count, mean, median, spread and quartiles of each metric over the variants that are done, and an interval.

        ``ci_low`` and ``ci_high`` bound the mean, by the bootstrap (of very many values by Student's t); NaN for a
        single value. Infinite values are left out, which is told by a warning, and so is that different code made the
        results.

        Parameters
        ----------
        by
            Parameters: a row for each of their values and each metric.
        metrics
            By default all that are numbers, and ``runtime_s``.
        where
            Only variants for which this condition holds, as in `query`.

        Raises
        ------
        ResultsError
            There is no such parameter or metric, or its values are not numbers.
        """
        from sciflow.analysis.summary import summarise  # noqa: PLC0415  each statistic is loaded when it is asked for

        return summarise(self._variants, by, metrics, where=where, confidence=confidence)

    def main_effects(self, metric: str, *, where: str | None = None, confidence: float = 0.95) -> pd.DataFrame:
        """What a metric is on average at each value of each parameter, the parameter that matters most first.

        By parameter and value: ``mean``, ``ci_low``, ``ci_high``, ``n``, ``effect`` (difference from the mean of all),
        and of the parameter ``share`` (η², its part of the sum of squares) and ``p_value``. ``attrs["method"]`` says
        how; `sciflow.analysis.effects` has the formulas.

        Raises
        ------
        ResultsError
            There is no such metric, nobody has a value, or no parameter differs.
        """
        from sciflow.analysis.effects import main_effects  # noqa: PLC0415  each statistic is loaded when it is asked for

        return main_effects(take_sample(self._variants, metric, where, stacklevel=2), confidence=confidence)

    def interactions(self, metric: str, *, where: str | None = None) -> pd.DataFrame:
        """How much more two parameters do together than each by itself, the strongest pair first.

        By pair: ``share`` (of the sum of squares, beyond main effects), ``largest`` (difference of a mean from what
        main effects say), ``n_cells`` and ``p_value``.

        Raises
        ------
        ResultsError
            There is no such metric, nobody has a value, or fewer than two parameters differ.
        """
        from sciflow.analysis.effects import interactions  # noqa: PLC0415  each statistic is loaded when it is asked for

        return interactions(take_sample(self._variants, metric, where, stacklevel=2))

    def sensitivity(
        self, metric: str, *, where: str | None = None, method: str = "auto", confidence: float = 0.95
    ) -> Sensitivity:
        """How much of a metric's variance each parameter accounts for; the result says by which method and why.

        Parameters
        ----------
        method
            ``auto`` takes the first that the design allows: ``grid`` (all combinations are there: exact), ``sobol``
            (Saltelli's points), ``morris`` (trajectories), ``permutation`` (any points, by a random forest).

        Raises
        ------
        ResultsError
            There is no such metric, the design does not allow the method, or a package is not installed.
        """
        from sciflow.analysis.sensitivity import measure_sensitivity  # noqa: PLC0415  loaded when it is asked for

        sample = take_sample(self._variants, metric, where, stacklevel=2)
        return measure_sensitivity(sample, method=method, confidence=confidence)

    def compare(
        self,
        other: Results | None = None,
        *,
        a: str | None = None,
        b: str | None = None,
        metric: str | Sequence[str] | None = None,
        test: str = "auto",
        confidence: float = 0.95,
    ) -> pd.DataFrame:
        """Whether two sweeps, or two sets of variants of this one, differ: a row per metric.

        Variants that agree in the other parameters are compared in pairs, replicates averaged; else sets as they are.
        Difference with interval, effect size, p-value, and the p-value adjusted for the number of metrics;
        `sciflow.analysis.comparison` has the formulas.

        Parameters
        ----------
        other
            Another sweep's results.
        a, b
            Instead, two conditions as in `query`, such as ``a="optimizer == 'adam'", b="optimizer == 'sgd'"``.
        metric
            One or several; by default all that both have.
        test
            ``permutation``, ``t`` or ``wilcoxon`` (Mann-Whitney without pairs); ``auto`` is ``permutation`` up to 2,000
            values and ``t`` beyond.

        Raises
        ------
        ResultsError
            There is nothing to compare, or no such metric or test.
        """
        from sciflow.analysis.comparison import compare_results  # noqa: PLC0415  loaded when it is asked for

        theirs = None if other is None else other._variants  # noqa: SLF001  of the same class
        names = self._directory.workflow, "" if other is None else other._directory.workflow  # noqa: SLF001  likewise
        return compare_results((self._variants, theirs), names, (a, b), metric, test=test, confidence=confidence)

    def convergence(
        self,
        metric: str,
        over: str = REPLICATE,
        *,
        where: str | None = None,
        target: float | None = None,
        confidence: float = 0.95,
    ) -> Convergence:
        """How the mean of each variant settles as replicates are added, and whether there are enough.

        Parameters
        ----------
        target
            Half of the confidence interval that is wanted: says which variants are within it, and how many values the
            others need.

        Raises
        ------
        ResultsError
            There is no such metric or parameter, or nobody has a value.
        """
        from sciflow.analysis.convergence import measure_convergence  # noqa: PLC0415  loaded when it is asked for

        sample = take_sample(self._variants, metric, where, stacklevel=2)
        return measure_convergence(sample, over, target=target, confidence=confidence)

    def success(
        self,
        criteria: Mapping[str, object] | None = None,
        *,
        where: str | None = None,
        over: str | Iterable[str] | None = None,
    ) -> Success:
        """Which variants meet the workflow's success criteria.

        Parameters
        ----------
        criteria
            Others than the workflow's, as `set_success_criteria` takes them.
        where
            Only variants for which this condition holds, as in `query`.
        over
            Parameters to average over first, such as ``"replicate"``: a mean is judged if all its members are done. By
            default each variant is judged by itself, so that a replicate that failed leaves the others theirs.

        Raises
        ------
        ResultsError
            There are no criteria, or one is about an unknown metric.
        WorkflowError
            A criterion is not understood.
        """
        from sciflow.analysis.success import judge  # noqa: PLC0415  each statistic is loaded when it is asked for

        return judge(self._variants, self._assembled.definition.get("criteria", ()), criteria, where=where, over=over)

    # ------------------------------------------------------------------------------------------------------ metadata

    @property
    def metadata(self) -> dict[str, Any]:
        """What is stored about the sweep besides results, as nested plain data: code, inputs, environments, jobs.

        `sciflow.store.description.describe_sweep` says what each key holds. ``origins`` is `origins` as plain data:
        each names the session that has its code, and says what of its definition is not as in the newest one.
        """
        return {**describe_sweep(self._directory), "origins": [one.to_dict() for one in self.origins()]}

    def provenance(self, variant: Variant | Mapping[str, object] | str) -> Trace:
        """Why a result is what it is: its run, tasks, code, inputs, environment and machine; print it to read it.

        Parameters
        ----------
        variant
            A variant, its parameters, or its id.

        Raises
        ------
        ResultsError
            There is no such variant, or several fit.
        """
        return trace_variant(self._directory, self._assembled, self._variants, variant)

    def origins(self) -> tuple[Origin, ...]:
        """What the results that count were made by: one entry per session, with its code, inputs and environments."""
        return origins_of(self._directory.definitions(), self._directory.sessions(), self._assembled)

    def mixture(self, where: str | None = None) -> str:
        """That different code made the results, how many each, and what to do about it; empty if it did not.

        Parameters
        ----------
        where
            Ask this of the variants for which the condition holds, as in `query`.
        """
        variants = self._variants
        chosen = variants.done if where is None else variants.done & variants.matching(where)
        return mixture_words(variants, "these results", chosen)

    def environment_differences(self) -> dict[str, dict[str, Any]]:
        """In what the environments differ that results were computed in: fact → digest → value; empty if in nothing."""
        known = self._directory.environments()
        return differences({digest: known[digest] for digest in self.environment_counts() if digest in known})

    def environment_counts(self) -> dict[str, int]:
        """How many variants have results that were computed in each environment, wholly or in part, by its digest.

        One whose tasks ran in several, because they run in jobs of different kinds, counts in each of them.
        """
        return count_environments(self._assembled)

    def add_reproduction(self, report: Path | str) -> None:
        """Keep what somebody else found who computed variants of this sweep again: `reproductions` has it then.

        Parameters
        ----------
        report
            The ``reproduction-report.json`` that ``sciflow reproduce`` wrote.

        Raises
        ------
        StoreError
            It is no such report, or of another sweep.
        """
        keep_reproduction(self._directory, Path(report))

    def reproductions(self) -> list[dict[str, Any]]:
        """Reports of others who computed variants again, the oldest first.

        ``verdict``, ``metrics``, ``variants``, ``step`` (the environment that was built), ``environment`` and more, as
        of `sciflow.ReproductionReport`.
        """
        return reproductions(self._directory)

    def to_prov(self) -> ProvDocument:
        """The provenance in the W3C's terms: a `prov.model.ProvDocument`, which writes itself as JSON, XML or PROV-N.

        Raises
        ------
        ResultsError
            The package prov is not installed (``pip install "sciflow[provenance]"``).
        """
        codes, numbers = self._assembled.facts("session")
        sessions = np.array([*numbers, -1], dtype=np.int64)[codes.ravel()]
        return prov_document(self.metadata, self._variants, sessions, self.origins())

    @property
    def environment(self) -> dict[str, Any]:
        """What the newest results were computed in; `metadata` has all environments, if there were several."""
        known = self._directory.environments()
        counted = self.environment_counts().keys() & known.keys()
        digests = [frame.header.get("environment") for frame in self._assembled.snapshot.frames]
        newest = next((digest for digest in reversed(digests) if digest in counted), None)
        return known[newest] if newest is not None else next(iter(known.values()), {})

    # ------------------------------------------------------------------------------------------------------- figures

    def plot(
        self, figure: str | Mapping[str, object] | FigureSpec, *, style: str | None = None, ax: Axes | None = None
    ) -> Figure:
        """Draw a figure.

        Parameters
        ----------
        figure
            The name of one that the workflow asked for, a type that needs no options, such as ``"failure_map"``, or
            what `add_visualization` takes, such as
            ``{"type": "line", "x": "temperature", "y": "energy", "hue": "size"}``.
        style
            ``"notebook"``, ``"paper"`` (one column wide) or ``"talk"``.
        ax
            matplotlib axes to draw on instead of a figure of its own.

        Raises
        ------
        ResultsError
            There is no such figure, parameter or metric, or nothing to draw.
        """
        if isinstance(figure, str):
            spec = _named_figure(figure, self._figures())
        else:
            spec = figure if isinstance(figure, FigureSpec) else parse_figure("figure", figure)
        return self._draw(spec, style, ax)

    def visualize(
        self, directory: Path | str | None = None, *, formats: Iterable[str] = ("png",), style: str | None = None
    ) -> dict[str, Figure]:
        """All figures that the workflow asked for, by name; if it asked for none, some that suit the sweep.

        One that cannot be drawn is left out with a warning.

        Parameters
        ----------
        directory
            Where to save them, as ``NAME.png``; it is made if need be. By default nothing is saved.
        formats
            ``"png"``, ``"pdf"`` or ``"svg"``, several if wanted; each file says which sweep and code it shows.
        style
            ``"notebook"``, ``"paper"`` (one column wide) or ``"talk"``.

        Raises
        ------
        ResultsError
            None can be drawn, or this release does not know one that was asked for.
        """
        specs = list(self._figures().values()) or self._chosen_figures()
        figures: dict[str, Figure] = {}
        errors: list[ResultsError] = []
        for spec in specs:
            try:
                figures[spec.name] = self._draw(spec, style, None)
            except ResultsError as error:
                errors.append(error)
        if errors and not figures:
            raise errors[0]
        for error in errors:
            warnings.warn(f"left out: {error}", UserWarning, stacklevel=2)
        if directory is not None:
            from sciflow.analysis.plots.save import save_figures  # noqa: PLC0415  brings matplotlib

            save_figures(figures, directory, formats)
        return figures

    def _chosen_figures(self) -> list[FigureSpec]:
        """Figures that nobody asked for, but suit the sweep."""
        from sciflow.analysis.plots.choice import choose_figures  # noqa: PLC0415  brings pandas

        criteria = [str(one.get("metric")) for one in self._assembled.definition.get("criteria", ())]
        return list(choose_figures(self.dataset, criteria))

    def _marks(self) -> dict[str, str]:
        """What figures and files of these results carry: which sweep it is, and the tree of the code that made them."""
        trees = {str(one.code.get("tree") or "") for one in self.origins() if one.n_variants}
        marks = {"sweep": str(self._directory.identity.get("sweep", "")), "code": ", ".join(sorted(trees))}
        return {name: mark for name, mark in marks.items() if mark}

    def _figures(self) -> dict[str, FigureSpec]:
        found: dict[str, FigureSpec] = {}
        for data in self._assembled.definition.get("figures", ()):
            options = {key: value for key, value in data.items() if key != "name"}
            try:
                found[data["name"]] = parse_figure(data["name"], options)
            except WorkflowError as error:
                raise ResultsError(f"the sweep asks for a figure that this release cannot draw: {error}") from error
        return found

    def _draw(self, spec: FigureSpec, style: str | None, ax: Axes | None) -> Figure:
        from sciflow.analysis.plots.registry import PLOTS  # noqa: PLC0415  brings matplotlib

        variants = self._variants
        for metric in {*spec.metrics, *spec.columns} & {*variants.metrics, "runtime_s"}:
            what = f"values of {metric} in figure {spec.name!r}"
            warn_of_mixture(variants, what, variants.done, stacklevel=3)
        plot = PLOTS[spec.type]
        try:
            return plot.draw(plot.source(self), **spec.options, style=style, ax=ax)
        except ResultsError as error:
            raise ResultsError(f"figure {spec.name!r}: {error}") from error

    def suggest_refinement(
        self,
        metric: Metric,
        maximize: bool = True,  # noqa: FBT001, FBT002  as in find_optimal_parameters
        *,
        factor: int = 4,
        around: Around = "optimum",
        parameters: Collection[str] | None = None,
        where: str | None = None,
        over: str | Iterable[str] | None = REPLICATE,
        extend: bool = True,
    ) -> Space:
        """The sweep's space with more where it matters, to add to the workflow.

        Around the optimum: numeric parameters get *factor* times finer values between the neighbours of the best one
        (by factors where the axis is logarithmic; whole numbers stay whole), others stay at the best value. Add it with
        ``workflow.add_parameter_space(...)`` and run the workflow again: only new variants run.

        The space that the sweep has is part of the suggestion, so a script that asks for one each time it runs only
        ever adds to the sweep. While variants of that space have not run, it is suggested as it is, with a warning:
        a script that was interrupted first completes what it had begun. Where the space is filtered by a function,
        which is not stored, the suggestion is the finer part alone.

        Parameters
        ----------
        metric, maximize, where, over
            As in `find_optimal_parameters`.
        around
            ``"boundary"`` looks between those neighbours between which the metric changes most, instead.
        parameters
            Which to refine: all that are numbers unless given. With many of them there are very many combinations.
        extend
            Where the best value is at the end of an axis, whether to go beyond it, by as much as its neighbour is away;
            a warning tells of it.

        Raises
        ------
        ResultsError
            There is nothing to rank, or nothing finer to suggest.
        """
        from sciflow.analysis.refinement.suggest import suggest  # noqa: PLC0415  seldom asked for

        return suggest(
            self._variants,
            self._assembled.definition.get("space", {}),
            metric,
            maximize=maximize,
            factor=factor,
            around=around,
            parameters=parameters,
            where=where,
            over=over,
            extend=extend,
        )

    # ------------------------------------------------------------------------------------------------------- outside

    def export(
        self,
        path: Path | str,
        *,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        digits: int | None = None,
    ) -> Path:
        """Write results to a file of the kind that its name asks for, and return its path.

        ``.csv``, ``.tsv``
            The table of variants, and beside it a ``datapackage.json`` (Frictionless Data) with types, units,
            descriptions, and what stands for no value.
        ``.parquet``
            The same with units and descriptions in its schema; pandas reads the units into ``attrs["units"]``.
        ``.xlsx``
            The same as a workbook with a dictionary of the columns and the provenance.
        ``.tex``, ``.md``
            A table for papers (booktabs, siunitx) and pages.
        ``.nc``
            The labelled dataset, with outputs that are arrays, which a table leaves out.

        An existing file is replaced in one step.

        Parameters
        ----------
        where
            Only variants for which this condition holds, as in `query`.
        columns
            What to write, in this order. By default everything; in ``.tex`` and ``.md`` files parameters and outputs.
        digits
            Significant digits of numbers in ``.tex`` and ``.md`` files; unless given, as many as it takes to read the
            same numbers.

        Raises
        ------
        ResultsError
            The kind of file is unknown or cannot hold so much, a package is not installed, or there is no such column.
        StoreWriteError
            The file cannot be written.
        """
        return export_results(
            Path(path),
            self._assembled,
            self._variants,
            self.metadata,
            lambda flat: self.to_dataset("flat") if flat else self.dataset,
            where=where,
            columns=columns,
            digits=digits,
        )

    def report(self, path: Path | str) -> Path:
        """Write one page about the sweep as it is now, for colleagues or a lab notebook, and return its path.

        ``.html`` is one file that needs nothing else, not even a network; ``.md`` is Markdown with its figures in a
        folder beside it.

        Raises
        ------
        ResultsError
            The name ends otherwise.
        """
        # upward, and only when called: users ask a handle that they hold, and what it writes is a layer of its own
        from sciflow.report.page import write_report  # noqa: PLC0415  the layer above; see tests/test_architecture.py

        return write_report(self, path)

    def __repr__(self) -> str:
        older = self._older()
        counts = ", ".join(f"{n:,} {status}{older.get(status, '')}" for status, n in self.status().items() if n)
        counts = counts or "no variants"
        return f"<Results of {self._directory.workflow!r}: {counts}; {self.directory}>"

    def _repr_html_(self) -> str:
        from sciflow.analysis.card import results_card  # noqa: PLC0415  for notebooks

        variants, name = self._variants, self._directory.workflow
        return results_card(name, str(self.directory), variants, self._assembled, code_or_inputs(variants))

    def _older(self) -> dict[str, str]:
        """For each status of which variants are stale, how many of them, in brackets."""
        variants = self._variants
        counts = np.bincount(variants.status[variants.stale], minlength=len(STATUS_MEANINGS)).tolist()
        by = code_or_inputs(variants)
        return {status: f" ({n:,} by older {by})" for status, n in zip(STATUS_MEANINGS, counts, strict=True) if n}


def _named_figure(name: str, declared: Mapping[str, FigureSpec]) -> FigureSpec:
    """The figure of this name that the workflow asked for, or else the type of figure, if that needs no options."""
    if name in declared:
        return declared[name]
    if name in FIGURE_TYPES:
        try:
            return parse_figure(name, {"type": name})
        except WorkflowError as error:
            raise ResultsError(
                f"the workflow asked for no figure {name!r}, and as a type of figure it needs options: {error}"
            ) from error
    close = difflib.get_close_matches(name, [*declared, *FIGURE_TYPES], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ResultsError(
        f"there is no figure {name!r}; the workflow asked for {', '.join(declared) or 'none'}, and types of figures "
        f"are {', '.join(FIGURE_TYPES)}{hint}"
    )
