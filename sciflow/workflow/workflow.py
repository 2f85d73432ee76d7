"""The workflow as its author builds it, part by part and in any order."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from sciflow.errors import OutputError, PolicyError, SpaceError, WorkflowError
from sciflow.figures.spec import Figure, parse_figure
from sciflow.scheduling import Immediate, Policy, parse_policy
from sciflow.space import Axis, Grid, Space
from sciflow.workflow.binding import Definition, Step
from sciflow.workflow.criteria import Criterion, parse_criteria
from sciflow.workflow.frozen import FrozenMapping
from sciflow.workflow.graph import order_tasks
from sciflow.workflow.inputs import Input
from sciflow.workflow.metadata import parse_metadata_requirements
from sciflow.workflow.reduction import check_reduction
from sciflow.workflow.resolve import Scope
from sciflow.workflow.resources import Resources, parse_resources
from sciflow.workflow.spelling import did_you_mean
from sciflow.workflow.steps import bind_step
from sciflow.workflow.stop import StopAfter
from sciflow.workflow.task import Task, make_task
from sciflow.workflow.tolerance import Tolerance, parse_tolerance

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from sciflow.workflow.inputs import Hash
    from sciflow.workflow.retry import Retry


class ExperimentalWorkflow:
    """Tasks over a parameter space, with what they need and what is wanted of them.

    Parts may be added in any order: what concerns one part is checked at once, what concerns several is
    checked by `validate`, which planning and execution call first.

    Parameters
    ----------
    name : str
        Also the name of the sweep's directory.
    seed : int
        From it come the random numbers of every run.
    stop_after : StopAfter, optional
        When to stop a sweep in which variants fail; without it every variant is tried.

    Examples
    --------
    >>> workflow = ExperimentalWorkflow("decay")
    >>> workflow.add_task("simulate", lambda rate: {"half_life": 0.693 / rate})
    >>> workflow.add_parameter_space({"rate": [0.1, 0.2]})
    >>> workflow
    ExperimentalWorkflow('decay', tasks: simulate; parameters: rate)
    """

    def __init__(self, name: str, *, seed: int = 0, stop_after: StopAfter | None = None) -> None:
        self._name = _check_name(name)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"the seed of {name!r} must be a whole number of at least 0, not {seed!r}")
        if stop_after is not None and not isinstance(stop_after, StopAfter):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"stop_after of {name!r} is a sciflow.StopAfter(same_failure=20), not {stop_after!r}")
        self._seed = seed
        self._stop_after = stop_after
        self._tasks: dict[str, Task] = {}
        self._factors: list[Space] = []
        self._policy: Policy = Immediate()
        self._figures: dict[str, Figure] = {}
        self._resources: dict[str, Resources] = {}
        self._criteria: tuple[Criterion, ...] = ()
        self._metadata_requirements: tuple[str, ...] = ()
        self._inputs: dict[str, Input] = {}
        self._tolerances: dict[str, Tolerance] = {}

    @property
    def name(self) -> str:
        """Name of the workflow and of its sweep's directory."""
        return self._name

    @property
    def seed(self) -> int:
        """The number from which all random numbers come."""
        return self._seed

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, as added."""
        return tuple(self._tasks.values())

    @property
    def space(self) -> Space:
        """The parameter space: the product of all that was added."""
        if not self._factors:
            return Grid({})
        space, *others = self._factors
        for other in others:
            space = space * other
        return space

    @property
    def policy(self) -> Policy:
        """When work may start."""
        return self._policy

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is to be plotted."""
        return tuple(self._figures.values())

    @property
    def resources(self) -> Mapping[str, Resources]:
        """What one run of each task needs, for the tasks that said."""
        return FrozenMapping(self._resources)

    @property
    def stop_after(self) -> StopAfter | None:
        """When to stop a sweep in which variants fail."""
        return self._stop_after

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """What must hold of a variant's metrics."""
        return self._criteria

    def add_task(
        self,
        name: str,
        function: Callable[..., object],
        depends_on: str | Iterable[str] = (),
        *,
        arguments: Mapping[str, str] | None = None,
        outputs: str | Iterable[str] = (),
        units: Mapping[str, str] | None = None,
        deterministic: bool = False,
        retry: Retry | int | None = None,
        timeout: float | str | None = None,
        fallback: object = None,
        critical: bool = True,
        condition: Callable[..., object] | str | None = None,
        undo: Callable[..., object] | None = None,
        cache: bool = False,
        over: str | Iterable[str] = (),
    ) -> None:
        """Add one step.

        The arguments up to *deterministic* say what it computes, those from *retry* on whether it runs and what
        happens when it fails; most tasks need none of these.

        Parameters
        ----------
        name : str
            A Python identifier.
        function : callable
            Its arguments are bound by name to parameters, dependencies and their outputs.
        depends_on : iterable of str
            Tasks that run before.
        arguments : mapping, optional
            Explicit sources: argument to the name of a parameter, dependency or output, or ``"task.key"``; also
            for arguments of *condition*, *undo* and *fallback*.
        outputs : iterable of str
            Outputs that are recorded although other tasks depend on this one.
        units : mapping, optional
            Output to unit, such as ``{"energy": "eV"}``.
        deterministic : bool
            Say that replicates need not repeat this task.
        retry : Retry or int, optional
            Try again when it raises: an int is the number of attempts in all, waiting as `Retry` does.
        timeout : float or str, optional
            The most that one attempt may take: seconds, or a text such as ``"2h"``. Together with
            ``max_runtime_hours`` the smaller one holds.
        fallback : object, optional
            What stands in when it fails for good: a value, a function bound by name like the task, or
            `sciflow.SKIP`, with which its outputs are missing and dependents do not run. For the value None
            give a function that returns it.
        critical : bool
            False is the same as ``fallback=sciflow.SKIP``.
        condition : callable or str, optional
            When it does not hold, the task and its dependents are skipped and their outputs missing. A
            function bound by name, or a text over parameters and outputs of dependencies such as
            ``"size > 8 and loss < 1"``.
        undo : callable, optional
            Takes back what the task did, when a later task of the variant fails; the last done is undone first.
            Such a task runs for each variant: what is undone for one must not be what others use.
            Bound by name like the task, and also to what the task returned: by the task's name, by the name of
            an output, or as the one argument left over.
        cache : bool
            Keep what it returns, so that later calls of the sweep need not run it again.
        over : iterable of str
            Make it a reduction: it runs once for all values of these parameters, such as ``"replicate"``, and
            takes what its dependencies returned for each of them.

        Raises
        ------
        WorkflowError
            For a name that is taken, and for what one argument alone shows to be wrong; as `OutputError` for
            names of outputs. What concerns several tasks is found by `validate`.
        """
        task = make_task(
            name,
            function,
            depends_on,
            arguments=arguments,
            outputs=outputs,
            units=units,
            deterministic=deterministic,
            retry=retry,
            timeout=timeout,
            fallback=fallback,
            critical=critical,
            condition=condition,
            undo=undo,
            cache=cache,
            over=over,
        )
        if name in self._tasks:
            raise WorkflowError(f"workflow {self._name!r} has a task {name!r} already; choose another name")
        self._tasks[name] = task

    def add_parameter_space(self, space: Space | Mapping[str, Iterable[object]]) -> None:
        """Add parameters (new names multiply) or values (the same names unite); a mapping is a Grid.

        Raises
        ------
        SpaceError
            When some names are new and some are not.
        """
        if isinstance(space, Space):
            added = space
        elif isinstance(space, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            added = Grid(space)
        else:
            raise SpaceError(f"a parameter space is a mapping such as {{'rate': [0.1, 0.2]}} or a Space, not {space!r}")
        names = set(added.names)
        touched = [factor for factor in self._factors if names & set(factor.names)]
        if not touched:
            self._factors.append(added)
            return
        known = {name for factor in touched for name in factor.names}
        if names != known:
            shared, new = sorted(names & known), sorted(names ^ known)
            raise SpaceError(
                f"the added space shares {shared} with the one there is, but not {new}; to multiply, add only the "
                f"new parameters {sorted(names - known)}; to unite, add a space over exactly {sorted(known)}, or "
                "write the whole space with * and | and add it once"
            )
        united, *others = touched
        for other in others:
            united = united * other
        place = self._factors.index(touched[0])
        self._factors = [factor for factor in self._factors if factor not in touched]
        self._factors.insert(place, united | added)

    def add_parameter(self, name: str, values: Iterable[object] | None = None, *, default: object) -> None:
        """Add a parameter, to a sweep that may have results already: they count as made at *default*.

        Parameters
        ----------
        values : iterable, optional
            The values to run; the default alone unless given. Without the default among them, variants at
            the default leave the dataset; what is recorded of them stays.
        default : object
            The value that every earlier variant had.
        """
        known = {one for factor in self._factors for one in factor.names}
        if name in known:
            raise SpaceError(
                f"parameter {name!r} exists already; to add values, unite: add_parameter_space over "
                "the same names with the new values"
            )
        self._factors.append(Axis(name, [default] if values is None else values, default=default))

    def set_resource_requirements(self, requirements: Mapping[str, Mapping[str, object]]) -> None:
        """Say what one run of each task needs.

        Parameters
        ----------
        requirements : mapping
            Task to any of ``cpu_cores``, ``memory_gb``, ``gpu`` and ``max_runtime_hours``. Tasks that are not
            named keep what was said of them before.
        """
        if not isinstance(requirements, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(
                "set_resource_requirements takes a mapping such as {'train_model': {'cpu_cores': 4}}, "
                f"not {requirements!r}"
            )
        parsed = {task: parse_resources(task, needs) for task, needs in requirements.items()}
        self._resources |= parsed

    def set_scheduling_policy(self, policy: str | Policy, options: Mapping[str, object] | None = None) -> None:
        """Say when and how work may be done.

        Parameters
        ----------
        policy : str or Policy
            ``"immediate"``, ``"off_peak"``, ``"priority"`` or ``"load_aware"``; or an object, such as
            ``OffPeak("22:00-08:00") & Priority("low")``.
        options : mapping, optional
            Of a policy that is named: the parameters of `OffPeak`, `Priority` or `LoadAware`.
        """
        if not isinstance(policy, Policy):
            self._policy = parse_policy(policy, options)
            return
        if options is not None:
            raise PolicyError(f"options go with the name of a policy; {policy!r} has its own already")
        self._policy = policy

    def add_visualization(self, name: str, options: Mapping[str, object]) -> None:
        """Ask for a figure of the results.

        Parameters
        ----------
        options : mapping
            ``type``, such as ``"heatmap"``, ``"line"`` or ``"scatter"``, and the keywords of the function of that name
            in `sciflow.plots`: ``x``, ``y`` and ``value`` of a heatmap, and if wanted ``facet_by`` and ``title``. A
            type or a key that does not exist is an error that lists those that do.
        """
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]  # users
            raise WorkflowError(f"a figure is named by a text, not {name!r}")
        if name in self._figures:
            raise WorkflowError(f"workflow {self._name!r} has a figure {name!r} already; choose another name")
        self._figures[name] = parse_figure(name, options)

    def set_success_criteria(self, criteria: Mapping[str, object]) -> None:
        """Say what must hold of the metrics; replaces what was said before.

        Parameters
        ----------
        criteria : mapping
            Metric to ``">= 0.9"``, or to ``{"min": 0.9, "max": 1.0}``.
        """
        self._criteria = parse_criteria(criteria)

    def set_tolerance(self, metric: str, *, rtol: float = 0.0, atol: float = 0.0) -> None:
        """Say how much a metric may differ when somebody computes it again; replaces what was said of it before.

        It goes into packages and is what `sciflow reproduce` judges by; results stay what they are. Of a metric without
        one, numbers may differ by rounding: 1e-9 of the value (64 units in the last place of single precision), of an
        array of its largest; whole numbers and texts are to be equal.

        Parameters
        ----------
        metric : str
            An output.
        rtol : float
            Relative to the recorded value; of an array, to its largest.
        atol : float
            In the unit of the metric. Values agree within ``atol + rtol * |recorded|``; 0 and 0 is exact equality.

        Raises
        ------
        WorkflowError
            A number is negative, NaN, infinite or none.
        """
        self._tolerances[metric] = parse_tolerance(metric, rtol, atol)

    def set_metadata_requirements(self, requirements: Mapping[str, object]) -> None:
        """Say what must be known before the sweep may start; replaces what was said before.

        A run that lacks something is refused before anything runs, with the list of what is missing.

        Parameters
        ----------
        requirements : mapping
            Name to True or False: ``git`` (the code has been committed), ``git_clean`` (and nothing has changed since),
            ``inputs_declared``, ``inputs_hashed``, ``lock_file`` (one is there, and agrees with what is installed),
            ``packages_released`` (no package is from a folder or a repository).

        Raises
        ------
        WorkflowError
            For an unknown name, or a value that is not True or False.
        """
        self._metadata_requirements = parse_metadata_requirements(requirements)

    def add_input(
        self,
        path: str | os.PathLike[str],
        *,
        hash: Hash = "content",  # noqa: A002  the word that users know
        sha256: str | None = None,
    ) -> None:
        """Declare a file that tasks read: when its content changes, earlier results are stale.

        Parameters
        ----------
        path : path or str
            A file, a folder with all that is in it, or a pattern such as ``"data/*.csv"``; a relative one is meant
            from the current folder. A URL is recorded with its *sha256*, and not fetched.
        hash : {"content", "size-mtime"}, default "content"
            What a file is known by: the SHA-256 of its content, which is read once and remembered (a core reads about
            1 GiB a second), or its size and time of modification, for files too large to be read.
        sha256 : str, optional
            What the digest of the one file is to be; another one is refused before anything runs.

        Raises
        ------
        WorkflowError
            There is no such file, or it is not what *sha256* says.
        """
        declared = Input.declare(path, hash=hash, sha256=sha256)
        self._inputs[declared.given] = declared

    def validate(self) -> Definition:
        """Check that the parts fit together, and bind every argument.

        Returns
        -------
        Definition
            The same workflow as an immutable value.

        Raises
        ------
        WorkflowError
            For an unknown task or parameter, no task at all, or an input that is not there; as `CycleError` for
            tasks in a circle, as `BindingError` for an argument without a source or with two, as `OutputError`
            for outputs of one name.
        """
        if not self._tasks:
            raise WorkflowError(f"workflow {self._name!r} has no tasks; add one with add_task(name, function)")
        for task in self._tasks.values():
            self._check_known(f"task {task.name!r} depends on", task.depends_on)
            self._check_no_reduction(task)
        self._check_known("set_resource_requirements names", self._resources)
        space = self.space
        self._check_outputs(space)
        self._check_figures(space)
        for declared in self._inputs.values():
            declared.files()
        return Definition(
            name=self._name,
            seed=self._seed,
            space=space,
            steps=self._bind(space),
            policy=self._policy,
            figures=self.figures,
            resources=FrozenMapping(self._resources),
            criteria=self._criteria,
            metadata_requirements=self._metadata_requirements,
            stop_after=self._stop_after,
            inputs=tuple(self._inputs.values()),
            tolerances=FrozenMapping(self._tolerances),
        )

    def _bind(self, space: Space) -> tuple[Step, ...]:
        declared = {task.name: task.outputs for task in self._tasks.values()}
        derived = {one.name: one.derived for one in space.parameters}
        # what a reduction gathers is recorded, so it is no inner task for that
        inner = {name for task in self._tasks.values() if not task.over for name in task.depends_on}
        optional = frozenset(name for name in space.names if not derived[name]) - space.always_present
        if optional:  # a derived parameter is lacking where one that it is computed from is
            optional |= {name for name in space.names if derived[name]}
        steps: dict[str, Step] = {}
        for name in order_tasks({task.name: task.depends_on for task in self._tasks.values()}):
            task = self._tasks[name]
            upstream = {one for before in task.depends_on for one in steps[before].footprint}
            scope = Scope(task, derived, optional, declared)
            steps[name] = bind_step(scope, upstream, sink=name not in inner, resources=self._resources.get(name))
            check_reduction(steps[name], space)
        return tuple(steps.values())

    def _check_known(self, what: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._tasks:
                raise WorkflowError(
                    f"{what} the unknown task {name!r}; tasks are {', '.join(self._tasks)}"
                    + did_you_mean(name, self._tasks)
                )

    def _check_no_reduction(self, task: Task) -> None:
        """Refuse a task after a reduction: it would run for each variant, and the reduction waits for all."""
        for name in task.depends_on:
            over = self._tasks[name].over
            if over:
                raise WorkflowError(
                    f"task {task.name!r} depends on {name!r}, a reduction over {', '.join(over)}; for now nothing can "
                    f"follow a reduction: do the work of {task.name!r} within {name!r}"
                )

    def _check_outputs(self, space: Space) -> None:
        owner: dict[str, str] = {}
        # what a reduction gathers is recorded, so it is no inner task for that
        inner = {name for task in self._tasks.values() if not task.over for name in task.depends_on}
        for task in self._tasks.values():
            for output in task.outputs:
                if output in owner:
                    raise OutputError(
                        f"tasks {owner[output]!r} and {task.name!r} both record the output {output!r}; rename one"
                    )
                if output in space.names:
                    raise OutputError(
                        f"task {task.name!r} records an output {output!r}, which is the name of a parameter; rename it"
                    )
                owner[output] = task.name
            unknown = [name for name in task.units if name not in task.outputs]
            if unknown and task.outputs and task.name in inner:
                raise OutputError(
                    f"task {task.name!r} has a unit for {unknown[0]!r}, which is not among its outputs "
                    f"{', '.join(task.outputs)}" + did_you_mean(unknown[0], task.outputs)
                )

    def _check_figures(self, space: Space) -> None:
        for figure in self._figures.values():
            for name in figure.parameters:
                if name not in space.names:
                    raise WorkflowError(
                        f"figure {figure.name!r} is over {name!r}, which is no parameter; parameters are "
                        f"{', '.join(space.names) or '(none)'}" + did_you_mean(name, space.names)
                    )

    def __copy__(self) -> Self:
        """A workflow of its own: what is added to one of them is not in the other."""
        twin = object.__new__(type(self))
        for name, part in self.__dict__.items():
            twin.__dict__[name] = copy.copy(part) if isinstance(part, dict | list) else part
        return twin

    def __repr__(self) -> str:
        tasks = ", ".join(self._tasks) or "none"
        parameters = ", ".join(name for factor in self._factors for name in factor.names) or "none"
        return f"{type(self).__name__}({self._name!r}, tasks: {tasks}; parameters: {parameters})"


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name.strip() or name in {".", ".."} or set(name) & set("/\\\0"):
        raise WorkflowError(
            f"workflow name {name!r} cannot name a directory; use a text without slashes, such as 'neural_network'"
        )
    return name
