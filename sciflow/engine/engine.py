"""Engine: runs what is missing of a sweep, and says what it would run."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from sciflow.analysis.live import in_notebook
from sciflow.engine.capture import Capture, Extent
from sciflow.engine.documentation import missing_metadata, refuse_undocumented, refuse_unseen
from sciflow.engine.driver import Driver
from sciflow.engine.fitting import refuse_endless
from sciflow.engine.gate import Gate
from sciflow.engine.intercept import intercept, overrides
from sciflow.engine.interrupt import quiet_interrupt
from sciflow.engine.look import rows_where
from sciflow.engine.outlook import outlook
from sciflow.engine.queue import others_waiting
from sciflow.engine.surroundings import OnMismatch
from sciflow.engine.sweep import Sweep
from sciflow.errors import PolicyError, StaleError, SweepError, UnmetRequirementError, WorkflowError
from sciflow.planning.plan import Request
from sciflow.provenance.energy import require_codecarbon
from sciflow.provenance.inputs import contents
from sciflow.scheduling import Policy, parse_policy
from sciflow.store.commits import is_consolidated
from sciflow.store.consolidate import consolidate
from sciflow.store.directory import SweepDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distributed import Client

    from sciflow.analysis.results import Results
    from sciflow.clusters.protocol import Cluster
    from sciflow.engine.charge import Charge
    from sciflow.engine.handle import SweepHandle
    from sciflow.engine.submit import Controller
    from sciflow.events import Event
    from sciflow.planning.plan import ClassPlan, Plan, Progress
    from sciflow.workflow.binding import Definition
    from sciflow.workflow.stop import StopAfter
    from sciflow.workflow.workflow import ExperimentalWorkflow

OnStale = Literal["ask", "keep", "rerun", "error"]
OnUnmet = Literal["warn", "error"]

POLICY_VARIABLE = "SCIFLOW_POLICY"
_MOST_NAMED = 5  # inputs in a message


class Engine:
    """Runs sweeps.

    Parameters
    ----------
    cluster : str or cluster object, default "local"
        ``"local"`` (worker processes on this machine), ``"inline"`` (this process, for debuggers), ``"slurm"`` or
        ``"pbs"`` (jobs, as the site's ``site.toml`` says), the address of a running Dask scheduler, a
        `distributed.Client`, or an object such as ``LocalCluster(workers=4)`` or ``SlurmCluster(partition="long")``.
    directory : path, default "sweeps"
        Folder of the sweeps; the workflow's name is the folder of its sweep.
    policy : str or Policy, optional
        When and how work may be done, over the workflow's own policy: ``"immediate"``, ``"off_peak"``, or an object
        such as ``OffPeak("22:00-08:00") & Priority("low")``.
    progress : bool, default True
        Show progress on standard error.
    on_event : callable, optional
        Called with each `sciflow.events.Event`, in the driver, between two steps of its loop: be brief. What it
        raises is told once, and the sweep goes on.
    on_unmet : {"warn", "error"}, optional
        What to do where no machine has what a task asks for: "warn" on the local machine, "error" on a cluster.
    on_stale : {"ask", "keep", "rerun", "error"}, default "ask"
        What to do with results that other code made. "ask" asks in a terminal or notebook and otherwise refuses.
    on_environment_mismatch : {"warn", "error"}, default "warn"
        What to do when a worker has another Python or other versions of packages than this process: "warn" says so,
        once for each such environment, and records which results are of it; "error" runs nothing there and ends.
    capture : {"full", "minimal"}, default "full"
        What is recorded of where numbers come from. "minimal" leaves out the repository, the environment, CPU time,
        memory, reading and writing of each variant, and what failures warned of and printed; so it goes neither with
        ``on_environment_mismatch="error"`` nor with a workflow that requires to know these.
    capture_output : bool, default False
        Keep all that each variant prints, up to 1 MiB, in ``logs/<variant>.log``, also of those that do not fail.
    energy : bool, default False
        Estimate the energy that each session uses, with codecarbon (``pip install "sciflow[energy]"``), which sends
        nothing anywhere: ``results.metadata["energy_kwh"]``. Counted are the processes of the sweep, not those of
        others on the machine; with workers in jobs, or of a scheduler that runs already, there is none.
    allow_close : bool, default False
        Accept a parameter value within 1e-12 (relative) of a recorded one.
    stop_after : StopAfter, optional
        When a sweep that fails is not worth going on with, over what the workflow says.

    Raises
    ------
    SweepError, PolicyError
        An argument is not understood.

    Examples
    --------
    Hear of failures as they come (`sciflow.events` lists all that is told):

    >>> def tell(event):
    ...     if event.name == "variant.failed":
    ...         print(event.facts["task"], event.facts["message"])
    >>> engine = Engine(on_event=tell)
    """

    def __init__(
        self,
        cluster: str | Cluster | Client = "local",
        *,
        directory: str | os.PathLike[str] = "sweeps",
        policy: str | Policy | None = None,
        progress: bool = True,
        on_event: Callable[[Event], None] | None = None,
        on_unmet: OnUnmet | None = None,
        on_stale: OnStale = "ask",
        on_environment_mismatch: OnMismatch = "warn",
        capture: Extent = "full",
        capture_output: bool = False,
        energy: bool = False,
        allow_close: bool = False,
        stop_after: StopAfter | None = None,
    ) -> None:
        forced: Mapping[str, Any] = overrides.get()
        self.cluster: Cluster = find_cluster(forced.get("cluster", cluster), forced.get("workers"))
        self.directory = Path(forced.get("directory", directory))
        self.policy: Policy | None = _find_policy(forced.get("policy", policy))
        self.progress: bool = forced.get("progress", progress)
        self.on_event = on_event
        self.on_unmet: OnUnmet = on_unmet or ("error" if self.cluster.has_jobs else "warn")
        self.on_stale: OnStale = forced.get("on_stale", on_stale)
        self.on_environment_mismatch: OnMismatch = on_environment_mismatch
        self.allow_close = allow_close
        self.stop_after = stop_after
        _one_of("on_unmet", self.on_unmet, OnUnmet)
        _one_of("on_stale", self.on_stale, OnStale)
        _one_of("on_environment_mismatch", on_environment_mismatch, OnMismatch)
        _one_of("capture", capture, Extent)
        if capture == "minimal" and on_environment_mismatch == "error":
            raise SweepError(
                "capture='minimal' looks at no environment, so on_environment_mismatch='error' could refuse none: "
                "leave out one of the two"
            )
        if energy:
            _refuse_unmeasured(self.cluster)
        self.capture = Capture(capture, keeps_output=capture_output, measures_energy=energy)

    def __repr__(self) -> str:
        return f"Engine({self.cluster.name!r}, directory={str(self.directory)!r})"

    def plan(
        self,
        workflow: ExperimentalWorkflow,
        *,
        retry_failed: bool = False,
        only: str | None = None,
        force: bool = False,
    ) -> Plan:
        """Say what `execute_parameter_sweep` would run, without running or writing anything."""
        whole = _definition_of(workflow)
        definition = whole.without_reductions()
        path = self.directory / definition.name
        directory = SweepDirectory.open(path) if (path / "sweep.json").exists() else None
        sweep = Sweep.look(definition, directory, allow_close=self.allow_close, tell=self._tell)
        request = _request(retry_failed=retry_failed, only=only, force=force)
        request = replace(request, rerun_stale=self.on_stale == "rerun")
        plan = sweep.plan(request, has_classes=self.cluster.has_jobs)
        self._refuse_endless(sweep, plan, directory)
        plan = replace(plan, obstacles=self._obstacles(sweep, plan))
        forecast = outlook(sweep, plan, directory, self.cluster.n_slots(definition.resources))
        reductions = {one.name: one.space.n_variants if plan.n_todo else 0 for one in self._reductions_of(whole)}
        counted = replace(plan, forecast=forecast, n_evaluations={**plan.n_evaluations, **reductions})
        return counted if not self.cluster.has_jobs else replace(counted, classes=self._classes_of(counted))

    def recorded(self, workflow: ExperimentalWorkflow) -> Progress:
        """Say what is recorded of the variants of a workflow, and what of them failed."""
        definition = _definition_of(workflow).without_reductions()
        path = self.directory / definition.name
        directory = SweepDirectory.open(path) if (path / "sweep.json").exists() else None
        return Sweep.look(definition, directory, allow_close=self.allow_close).progress

    def execute_parameter_sweep(
        self,
        workflow: ExperimentalWorkflow,
        *,
        retry_failed: bool = False,
        only: str | None = None,
        force: bool = False,
    ) -> Results:
        """Run what is missing of the sweep and return its results, also when variants failed.

        A second call runs only what is missing: after values were added, after a crash, after a kill.

        Parameters
        ----------
        retry_failed : bool
            Run variants again that failed in user code.
        only : str, optional
            A condition on the parameters, such as ``"size < 64"``; other variants are left as they are.
        force : bool
            Run everything again (what is recorded stays on disk; the newest result counts).

        Raises
        ------
        SweepBusyError
            Another driver works on the sweep.
        StaleError
            Results on disk were made by other code and `on_stale` does not say what to do.
        SciflowError
            The sweep as a whole could not run; the message says why and what to do.
        """
        interceptor = intercept.get()
        if interceptor is not None:
            interceptor(self, workflow)
        request = _request(retry_failed=retry_failed, only=only, force=force)
        from sciflow.analysis.results import open_results  # noqa: PLC0415  brings pandas and xarray

        whole = _definition_of(workflow)
        plan = self.carry_out(whole, request)
        if not plan.n_todo:
            self._tell(_idle_words(whole, plan, request, self.directory / whole.name))
        return open_results(self.directory / whole.name)

    def carry_out(self, whole: Definition, request: Request, charge: Charge | None = None) -> Plan:
        """Run what is missing of the sweep; a controller says with *charge* what it was told.

        Returns
        -------
        Plan
            What was to be run.

        Raises
        ------
        SciflowError
            As `execute_parameter_sweep`.
        KeyboardInterrupt
            It was asked to stop.
        """
        definition = whole.without_reductions()
        refuse_unseen(definition, is_full=self.capture.is_full)
        reductions = self._reductions_of(whole)
        directory = SweepDirectory.create_or_open(self.directory / definition.name, definition.name, definition.seed)
        fingerprints = None if charge is None else charge.origin.fingerprints
        # of what was asked to run again, what an earlier generation of the controller has settled is not
        settled_by = charge.sessions if charge is not None and (request.force or request.retry_failed) else frozenset()

        def look() -> tuple[Sweep, Plan]:
            sweep = Sweep.look(
                definition, directory, allow_close=self.allow_close, fingerprints=fingerprints, tell=self._tell
            )
            plan = sweep.plan(request, has_classes=self.cluster.has_jobs)
            return sweep, plan.without(sweep.settled_by(settled_by)) if settled_by else plan

        sweep, plan = look()
        if len(sweep.progress.stale) and self._decide_stale(sweep, directory):
            request = replace(request, rerun_stale=True)
            plan = sweep.plan(request, has_classes=self.cluster.has_jobs)
        if plan.n_todo or sweep.is_new or (charge is None and not _ended_well(directory, request)):
            if plan.n_todo:
                self._judge_requirements(definition)
            if charge is None:
                self._refuse_endless(sweep, plan, directory)
            gate = Gate(self.policy_for(definition)) if charge is None else charge.gate
            gate.n_pending = others_waiting(gate.policy, self.cluster, definition, directory.path)
            # the driver looks once more when the sweep is its own and nobody else can change it
            driver = Driver(
                self.cluster,
                directory,
                gate,
                progress=self.progress,
                on_event=self.on_event,
                stop_after=self.stop_after,
                on_mismatch=self.on_environment_mismatch,
                capture=self.capture,
                charge=charge,
            )
            with quiet_interrupt():
                driver.run(definition, look)
        elif not is_consolidated(directory, sweep.snapshot):
            consolidate(directory)
        if reductions:
            self._reduce(reductions, directory, retry_failed=request.retry_failed)
        return plan

    def submit(
        self,
        workflow: ExperimentalWorkflow,
        *,
        retry_failed: bool = False,
        only: str | None = None,
        force: bool = False,
        controller: str | Controller | None = None,
    ) -> SweepHandle:
        """Let a detached controller run what is missing of the sweep, and return a handle on it.

        The controller outlives this process, its terminal and its login session. It gets the code as it is now: what
        is edited later changes nothing. When this returns, it has the sweep, or its job is in the queue.

        Parameters
        ----------
        retry_failed, only, force
            As of `execute_parameter_sweep`.
        controller : {"process", "slurm", "pbs"} or Controller, optional
            Where it runs: a daemon on this machine, or a batch job that is followed by the next before its walltime is
            over. By default a daemon for sweeps on this machine, and a job where the workers are jobs.

        Raises
        ------
        SweepBusyError
            Another driver works on the sweep, or a controller waits in a queue.
        StaleError
            Results on disk were made by other code and `on_stale` does not say what to do.
        SciflowError
            The sweep cannot run or be sent; the message says why and what to do.
        """
        interceptor = intercept.get()
        if interceptor is not None:
            interceptor(self, workflow)
        request = _request(retry_failed=retry_failed, only=only, force=force)
        from sciflow.engine.handle import SweepHandle  # noqa: PLC0415  with what reads a sweep
        from sciflow.engine.order import Order  # noqa: PLC0415  only sweeps that are submitted need it
        from sciflow.engine.submit import check_unsubmitted, find_controller, remove_unused  # noqa: PLC0415  same

        whole = _definition_of(workflow)
        definition = whole.without_reductions()
        refuse_unseen(definition, is_full=self.capture.is_full)
        reductions = self._reductions_of(whole)
        host = find_controller(overrides.get().get("controller", controller), self.cluster)
        named = definition.name, definition.seed
        path = self.directory / definition.name
        # what is refused leaves no sweep behind that was not there
        known = SweepDirectory.create_or_open(path, *named) if (path / "sweep.json").exists() else None
        if known is not None:
            check_unsubmitted(known)
        sweep = Sweep.look(definition, known, allow_close=self.allow_close, tell=self._tell)
        engine = copy.copy(self)
        if known is not None and len(sweep.progress.stale):
            rerun = self._decide_stale(sweep, known)
            request, engine.on_stale = replace(request, rerun_stale=rerun), "rerun" if rerun else "keep"
        plan = sweep.plan(request, has_classes=self.cluster.has_jobs)
        if not (plan.n_todo or reductions):
            engine.progress = False
            engine.carry_out(definition, request)  # what there is to write down needs no controller
            return SweepHandle(path)
        refuse_undocumented(definition, self._missing_metadata(sweep, plan))
        if host.is_here or self.cluster.has_jobs:
            self._judge_requirements(definition)
        engine.directory, engine.policy = self.directory.absolute(), self.policy_for(definition)
        self._refuse_endless(sweep, plan, known)
        # what nobody can tell is said here, not in a log
        others_waiting(engine.policy, self.cluster, definition, path.absolute())()
        directory = known or SweepDirectory.create_or_open(path, *named)
        if known is None:
            check_unsubmitted(directory)
        directory.add_definition(sweep.description)  # its status says what is to come
        try:
            host.start(directory, Order.of(engine, whole, request, sweep.description["fingerprints"]))
        except BaseException:
            if known is None:
                remove_unused(directory)
            raise
        return SweepHandle(directory.path)

    def _tell(self, words: str) -> None:
        """Say what takes long before there is a display."""
        if self.progress:
            print(f"sciflow: {words}", file=sys.stderr)  # noqa: T201  must be seen

    def policy_for(self, definition: Definition) -> Policy:
        """The policy in force: the engine's, else the environment's, else the workflow's."""
        return self.policy or _policy_of_environment() or definition.policy

    def _reductions_of(self, definition: Definition) -> list[ExperimentalWorkflow]:
        if not any(step.over for step in definition.steps):
            return []
        from sciflow.engine.reduction import reduced_workflows  # noqa: PLC0415  brings xarray

        return reduced_workflows(definition, (self.directory / definition.name).absolute())

    def _reduce(self, reductions: list[ExperimentalWorkflow], directory: SweepDirectory, *, retry_failed: bool) -> None:
        """Run the sweeps of the reductions; what they gathered may have changed, so stale ones run again."""
        from sciflow.analysis.reductions import REDUCTIONS  # noqa: PLC0415  brings xarray

        engine = copy.copy(self)
        engine.directory, engine.on_stale = directory.path / REDUCTIONS, "rerun"
        token = intercept.set(None), overrides.set({})
        try:
            for workflow in reductions:
                engine.carry_out(_definition_of(workflow), Request(retry_failed=retry_failed))
        finally:
            intercept.reset(token[0])
            overrides.reset(token[1])

    def _classes_of(self, plan: Plan) -> tuple[ClassPlan, ...]:
        """The workers that come with jobs, if the cluster says how many jobs there may be."""
        from sciflow.clusters.batch import BatchCluster  # noqa: PLC0415  where there are jobs

        cluster = self.cluster
        return plan.classes_of(cluster.most_jobs()) if isinstance(cluster, BatchCluster) else ()

    def _refuse_endless(self, sweep: Sweep, plan: Plan, directory: SweepDirectory | None) -> None:
        policy, now = self.policy_for(sweep.definition), datetime.now(UTC)
        refuse_endless(sweep, plan, directory, policy=policy, cluster=self.cluster, now=now)

    def _missing_metadata(self, sweep: Sweep, plan: Plan) -> list[str]:
        if not plan.n_todo:
            return []
        definition, inputs = sweep.definition, sweep.description.get("inputs", ())
        return missing_metadata(definition, self._path_of(definition), inputs, is_full=self.capture.is_full)

    def _path_of(self, definition: Definition) -> Path:
        return (self.directory / definition.name).absolute()

    def _obstacles(self, sweep: Sweep, plan: Plan) -> tuple[str, ...]:
        """What would keep the plan from being run now, a line each."""
        if not plan.n_todo:
            return ()
        lines = [f"metadata missing: {sentence}" for sentence in self._missing_metadata(sweep, plan)]
        lines += [f"not met: {sentence}" for sentence in self.cluster.unmet(sweep.definition.resources)]
        gate = Gate(self.policy_for(sweep.definition))
        gate.n_pending = others_waiting(gate.policy, self.cluster, sweep.definition, self._path_of(sweep.definition))
        return (*lines, *(() if gate.opening().may_start else (f"not now: {gate.explain()}",)))

    def _judge_requirements(self, definition: Definition) -> None:
        unmet = self.cluster.unmet(definition.resources)
        if unmet and self.on_unmet == "error":
            raise UnmetRequirementError("; ".join(unmet) + "; lower the requirement or pass on_unmet='warn'")
        for sentence in unmet:
            print(f"sciflow: {sentence}; going on with what there is", file=sys.stderr)  # noqa: T201  must be seen

    def _decide_stale(self, sweep: Sweep, directory: SweepDirectory) -> bool:
        """Whether results of other code run again."""
        n = len(sweep.progress.stale)
        changed = _what_changed(sweep, directory)
        what = "code or inputs" if sweep.definition.inputs else "code"
        text = (
            f"{n:,} results in {directory.path} were made by other {what} than today's"
            f"{f' (changed: {changed})' if changed else ''}"
        )
        choice = self.on_stale
        if choice == "ask":
            if not _interactive():
                raise StaleError(
                    f"{text}; say what to do with them: Engine(on_stale='keep') counts them as done, "
                    "Engine(on_stale='rerun') runs them again (on the command line: --on-stale keep|rerun)"
                )
            with contextlib.suppress(EOFError, NotImplementedError):  # nobody there, or a notebook that runs by itself
                answer = input(f"{text}. Keep them, or run them again? [keep/rerun/cancel] ").strip().lower()
                choice = "keep" if answer in {"k", "keep"} else "rerun" if answer in {"r", "rerun"} else "error"
        if choice == "rerun":
            return True
        if choice == "keep":
            return False
        raise StaleError(f"{text}; nothing was run")


def _idle_words(definition: Definition, plan: Plan, request: Request, path: Path) -> str:
    """Why nothing is to run."""
    from sciflow.analysis.words import idle  # noqa: PLC0415  with what reads a sweep

    seen, asked = plan.progress, ""
    if request.only is not None:
        n = len(rows_where(definition.space, request.only))
        asked = f"of the {n:,} variants with {request.only}" if n else f"no variant has {request.only}"
    counts = {"n_done": len(seen.done), "n_stale": len(seen.stale), "n_failed": seen.n_failed}
    return f"{definition.name}: {idle(plan.n_variants, **counts, path=path, asked=asked)}"


def _ended_well(directory: SweepDirectory, request: Request) -> bool:
    """Whether what was asked of the sweep last was done; who finds nothing left to run has it end well."""
    if request.only is not None:
        return True
    from sciflow.analysis.follow import read_status  # noqa: PLC0415  only where nothing is to run

    return read_status(directory.path).ended_well


def _request(*, retry_failed: bool, only: str | None, force: bool) -> Request:
    """What a call asks for, or the command line in its place."""
    forced: Mapping[str, Any] = overrides.get()
    return Request(
        forced.get("retry_failed", retry_failed),
        forced.get("only", only),
        forced.get("force", force),
        causes=frozenset(forced.get("causes", ())),
        pilot=forced.get("pilot"),
    )


def _definition_of(workflow: ExperimentalWorkflow) -> Definition:
    if not hasattr(workflow, "validate"):
        raise WorkflowError(f"an Engine runs an ExperimentalWorkflow, not {workflow!r}")
    return workflow.validate()


def find_cluster(cluster: str | Cluster | Client, workers: int | None = None) -> Cluster:
    """Give the cluster of this name or of this running scheduler, or the object itself."""
    if not isinstance(cluster, str):
        if hasattr(cluster, "scheduler_info"):  # a Client; it has a `start` too
            from sciflow.clusters.running import RunningCluster  # noqa: PLC0415  one of several

            return RunningCluster(cast("Client", cluster))
        if not hasattr(cluster, "start"):
            raise SweepError(f"{cluster!r} is no cluster: give a name, an address, a Client, or a cluster of sciflow")
        return cast("Cluster", cluster)
    # one of several, each with its own weight
    match cluster:
        case "local":
            from sciflow.clusters.local import LocalCluster  # noqa: PLC0415

            return LocalCluster(workers=workers)
        case "inline":
            from sciflow.clusters.inline import InlineCluster  # noqa: PLC0415

            return InlineCluster()
        case "slurm" | "pbs":
            from sciflow.clusters.batch import PBSCluster, SlurmCluster  # noqa: PLC0415

            kind = SlurmCluster if cluster == "slurm" else PBSCluster
            return kind() if workers is None else kind(workers=workers)
        case _ if "://" in cluster:
            from sciflow.clusters.running import RunningCluster  # noqa: PLC0415

            return RunningCluster(cluster)
        case _:
            raise SweepError(
                f"no cluster named {cluster!r}; there are 'local', 'inline', 'slurm', 'pbs', and addresses of running "
                "Dask schedulers such as 'tls://host:8786'"
            )


def _find_policy(policy: str | Policy | None) -> Policy | None:
    if policy is None or isinstance(policy, Policy):
        return policy
    return parse_policy(policy)


def _policy_of_environment() -> Policy | None:
    name = os.environ.get(POLICY_VARIABLE, "").strip()
    if not name:
        return None
    try:
        return parse_policy(name)
    except PolicyError as error:
        raise PolicyError(f"the environment variable {POLICY_VARIABLE} is {name!r}: {error}") from error


def _one_of(name: str, value: object, allowed: Any) -> None:
    if value not in allowed.__args__:
        raise SweepError(f"{name}={value!r} is not understood; it is one of {', '.join(map(repr, allowed.__args__))}")


def _refuse_unmeasured(cluster: Cluster) -> None:
    """Refuse to measure energy where workers are no children of the driver, or without the package."""
    if cluster.name not in {"inline", "local"}:
        raise SweepError(
            f"energy=True measures the processes of this machine, and workers of cluster {cluster.name!r} run "
            "elsewhere: leave it out, and ask the scheduler's accounting (of SLURM: sacct -o JobID,ConsumedEnergy)"
        )
    require_codecarbon()


def _interactive() -> bool:
    return in_notebook() or (sys.stdin is not None and sys.stdin.isatty())


def _what_changed(sweep: Sweep, directory: SweepDirectory) -> str:
    newest = directory.newest_definition() or {}
    before: Mapping[str, str] = newest.get("fingerprints", {})
    today: Mapping[str, str] = sweep.description["fingerprints"]
    files_before, files = contents(newest.get("inputs", ())), contents(sweep.description.get("inputs", ()))
    tasks = [task for task in today if before.get(task) != today[task]]
    inputs = [f"input {name}" for name in sorted({*files_before, *files}) if files_before.get(name) != files.get(name)]
    return ", ".join([*tasks, *inputs[:_MOST_NAMED], *(["further inputs"] if len(inputs) > _MOST_NAMED else [])])
