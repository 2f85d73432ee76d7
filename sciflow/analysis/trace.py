"""Trace: one variant's result followed back to what it was made of: run, code, inputs, environment, machine."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciflow.analysis.failures import warning_lines
from sciflow.analysis.lookup import rows_of
from sciflow.analysis.metadata import changed_words, code_words, environment_words, input_words
from sciflow.canonical import plain
from sciflow.errors import ResultsError
from sciflow.quantities import render_bytes, render_seconds
from sciflow.running.context import RunSite, TaskContext
from sciflow.store.assembled import DONE, STATUS_MEANINGS, ScalarOutput
from sciflow.store.column import FACT, FILES, ID, MERGED, RAN, RUNTIME_S, START_S, SUMS, Category
from sciflow.store.records import Records
from sciflow.store.timings import TASK_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.analysis.variants import Variants
    from sciflow.space.variant import Variant
    from sciflow.store.assembled import Assembled
    from sciflow.store.directory import SweepDirectory
    from sciflow.store.segment import FrameRef, Reader

SCHEMA: Final = 1
"""Of `Trace.to_dict`."""

_OF_FRAMES: Final = frozenset(
    {"n", "columns", "sizes", "rows", "long", "t0", "status", "session", "revision", "generation", "environment"}
)
"""What headers say that is not about a run, or is told elsewhere in a trace."""

_NOT_FACTS: Final = frozenset({ID, START_S, RUNTIME_S, FILES, "@row", "@failure"})


@dataclass(frozen=True, slots=True)
class Trace:
    """Why a number is what it is; printed, it reads from the value back to the code.

    Attributes
    ----------
    variant
        Its id.
    facts
        All of it as nested plain data: ``schema``, ``variant``, ``parameters``, ``status``, ``outputs`` (arrays by
        shape and dtype), ``failure`` (if it failed, with ``warnings``, the end of the ``output`` and the
        ``exit_status`` where there are any), ``run`` (of a variant whose shared run failed elsewhere that one:
        ``start``, ``end``, ``wall_s``, ``attempt``, ``worker`` as host and process, its ``log``, ``job`` and ``node``
        in a batch system, ``cpu_s`` and of it ``system_s`` and ``children_s``,
        ``peak_bytes``, ``read_bytes``, ``written_bytes``; of variants too short to be measured one by one the last
        these are the share, ``is_share``, of what all together took that were recorded at once), ``artifacts``
        (``generated`` with digests, and ``used`` by which task), ``tasks`` (for each its ``fingerprint``, ``seconds``,
        what it depends on, its ``status``: ``done``, ``shared`` with other variants, ``failed``, ``not run`` or
        ``unknown``, ``ran``, the run elsewhere that a shared value is from, and the ``seed`` of its random numbers if
        it has any), ``definition`` (``revision``, ``generation``,
        ``is_current``), ``code``, ``inputs``, ``inputs_changed`` (whether an input changed while it, or a shared run
        that it is of, may have read it), ``environment`` (with its ``digest``), ``session``, and ``earlier``: runs of
        the same variant that count no longer.
    """

    variant: str
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data, for JSON."""
        return dict(self.facts)

    def __str__(self) -> str:
        return "\n".join(_lines(self.facts))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def trace_variant(
    directory: SweepDirectory, assembled: Assembled, variants: Variants, wanted: Variant | Mapping[str, object] | str
) -> Trace:
    """Follow one variant's result back to what made it.

    Raises
    ------
    ResultsError
        There is no such variant, or several fit.
    """
    cell = _one(variants, wanted)
    variant = next(variants.table.take(np.array([cell])).variants())
    identity = variants.ids[cell]
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "sweep": directory.sweep,
        "workflow": directory.workflow,
        "variant": identity,
        "parameters": {name: plain(value) for name, value in variant.items()},
        "status": STATUS_MEANINGS[int(variants.status[cell])],
        "outputs": _outputs(assembled, cell),
    }
    if variants.failure[cell]:
        facts["failure"] = variants.failure_of(cell)
    for frame, _, rows, reader in assembled.source.visit(ID, np.array([cell])):
        record = _record(frame, int(rows[0]), reader)
        facts |= _made_by(directory, assembled, record, variant, facts.get("failure"))
        facts["inputs_changed"] = bool(variants.inputs_changed[cell])
        facts["earlier"] = _earlier(assembled, frame, int(rows[0]), identity)
    return Trace(identity, facts)


def _one(variants: Variants, wanted: Variant | Mapping[str, object] | str) -> int:
    """The place of the one variant that is meant; an id means that variant, not its replicates."""
    if isinstance(wanted, str):
        exact = np.flatnonzero(np.array(variants.ids, dtype=object) == wanted)
        if len(exact):
            return int(exact[0])
    rows = rows_of(variants, wanted)
    if len(rows) > 1:
        raise ResultsError(f"{len(rows):,} replicates fit; name one with replicate=0, or give its id")
    return int(rows[0])


def _outputs(assembled: Assembled, cell: int) -> dict[str, Any]:
    if assembled.status.ravel()[cell] != DONE:
        return {}
    found: dict[str, Any] = {}
    for name, output in assembled.outputs.items():
        if isinstance(output, ScalarOutput):
            value = np.ravel(output.values)[cell]
            value = value.item() if isinstance(value, np.generic) else value
            # JSON has neither complex numbers nor moments
            found[name] = value if isinstance(value, bool | int | float | str | None) else str(value)
        else:
            array = np.asarray(next(iter(output.gather(np.array([cell])))))
            found[name] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    return found


# ------------------------------------------------------------------------------------------------------------ records


def _record(frame: FrameRef, row: int, reader: Reader) -> dict[str, Any]:
    """What was recorded of one run: facts of its frame, and columns that have one value for it."""
    said = {key: value for key, value in frame.header.items() if key not in _NOT_OF_ONE}
    columns = [one["name"] for one in frame.header["columns"] if one["kind"] == "fact" and one["name"] != ID]
    for name, values in frame.table(columns, reader).items():
        value = values.values()[row] if isinstance(values, Category) else values[row]
        said[name.removeprefix(FACT)] = value.item() if isinstance(value, np.generic) else value
    if said.get("cpu_s") is not None and "@cpu_s" not in said:  # too short to be measured by itself
        said["is_share"] = True
        if MERGED not in frame.header:  # there each has its share
            said |= {key: said[key] / frame.n for key in SUMS if said.get(key) is not None}
    return said


_NOT_OF_ONE: Final = frozenset({"columns", "sizes", "long", "merged"})


def _made_by(
    directory: SweepDirectory,
    assembled: Assembled,
    record: Mapping[str, Any],
    variant: Variant,
    failure: Mapping[str, Any] | None,
) -> dict[str, Any]:
    definitions = {one["revision"]: one for one in directory.definitions()}
    definition: Mapping[str, Any] = definitions.get(record["revision"], assembled.definition)
    session = next((one for one in directory.sessions() if one["session"] == record["session"]), {})
    # the process that found a failed shared run has nothing to do with why it failed
    died = None if failure is None else _elsewhere(record, str(failure.get("task")))
    digest = (died or record).get("environment")
    tasks = [_task(task, definition, record, variant, directory.seed) for task in definition.get("tasks", ())]
    _judge_tasks(tasks, record, failure)
    return {
        "run": _run_elsewhere(died, record) if died else _run(record),
        "artifacts": json.loads(record.get(FILES) or "{}"),
        "tasks": tasks,
        "definition": {
            "revision": record["revision"],
            "generation": record.get("generation"),
            "is_current": record.get("generation") == assembled.definition.get("generation"),
        },
        "code": session.get("code", {"repository": None}),
        "inputs": definition.get("inputs", []),
        "environment": {"digest": digest, **directory.environments().get(str(digest), {})},
        "session": {key: value for key, value in session.items() if key != "code"},
    }


def _run(record: Mapping[str, Any]) -> dict[str, Any]:
    start, wall_s = float(record.get("t0", 0.0)) + float(record.get(START_S, 0.0)), float(record.get(RUNTIME_S, 0.0))
    others = {
        key.removeprefix("@"): value
        for key, value in record.items()
        if key not in _OF_FRAMES | _NOT_FACTS and not key.startswith((TASK_S, RAN))
    }
    return {"start": _moment(start), "end": _moment(start + wall_s), "wall_s": wall_s, **others}


def _run_elsewhere(ran: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    start, wall_s = ran["start"], ran["wall_s"]
    others = {key: value for key, value in ran.items() if key not in {"start", "wall_s", "session", "environment"}}
    attempt = record.get("attempt", 1)
    return {"start": _moment(start), "end": _moment(start + wall_s), "wall_s": wall_s, "attempt": attempt, **others}


def _elsewhere(record: Mapping[str, Any], task: str) -> dict[str, Any] | None:
    """The run in another process, or for another variant, that the value of a shared task is from."""
    return json.loads(record.get(RAN + task) or "null")


def _judge_tasks(tasks: list[dict[str, Any]], record: Mapping[str, Any], failure: Mapping[str, Any] | None) -> None:
    """Say of each task what became of it; they run in this order."""
    names = [task["name"] for task in tasks]
    culprit = None if failure is None else failure.get("task")
    last = names.index(culprit) if culprit in names else len(names)
    for place, task in enumerate(tasks):
        if place >= last:
            task["status"] = "failed" if place == last else "not run"
        elif task["seconds"] is not None:
            task["status"] = "done"
        elif failure is None or TASK_S + task["name"] in record or "ran" in task:  # of others, times are not known
            task["status"] = "shared"
        else:
            task["status"] = "unknown"


def _task(
    task: Mapping[str, Any], definition: Mapping[str, Any], record: Mapping[str, Any], variant: Variant, seed: int
) -> dict[str, Any]:
    name = task["name"]
    seconds = record.get(TASK_S + name)
    if seconds is None and len(definition.get("tasks", ())) == 1:
        seconds = record.get(RUNTIME_S)
    elsewhere = _elsewhere(record, name)
    if elsewhere:
        elsewhere["start"] = _moment(elsewhere["start"])
    draws = any(argument["source"].get("from") == "context" for argument in task.get("arguments", ()))
    context = TaskContext(variant, task=name, attempt=record.get("attempt", 1), sweep_seed=seed, site=RunSite())
    return {
        "name": name,
        "function": task.get("function"),
        "fingerprint": definition.get("fingerprints", {}).get(name),
        "depends_on": task.get("depends_on", []),
        "footprint": task.get("footprint", []),
        # no number: the run was shared, and another variant's record has its time
        "seconds": None if seconds is None or np.isnan(seconds) else seconds,
        **({"ran": elsewhere} if elsewhere else {}),
        **({"seed": context.seed} if draws else {}),
    }


def _earlier(assembled: Assembled, counts: FrameRef, counting_row: int, identity: str) -> list[dict[str, Any]]:
    """The runs of a variant that a later, or better, one replaced, oldest first."""
    wanted = np.frombuffer(bytes.fromhex(identity[1:]), dtype=np.uint8)
    found: list[dict[str, Any]] = []
    for frame, _, columns in Records(assembled.snapshot.frames).tables(lambda _: [ID]):
        for row in np.flatnonzero((columns[ID] == wanted).all(axis=1)).tolist():
            if (frame.path, frame.offset, row) != (counts.path, counts.offset, counting_row):
                told = frame.table([START_S, RUNTIME_S, FACT + "t0"])
                start = float(frame.fact("t0")[row] or 0.0) + float(told.get(START_S, np.zeros(frame.n))[row])
                found.append(
                    {
                        "start": _moment(start),
                        "status": frame.header["status"],
                        **{key: frame.fact(key)[row] for key in ("attempt", "session", "generation", "worker")},
                        **({"cause": frame.fact("cause")[row]} if frame.header["status"] == "failed" else {}),
                    }
                )
    return sorted(found, key=lambda one: one["start"])


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


# -------------------------------------------------------------------------------------------------------------- words


def _lines(facts: Mapping[str, Any]) -> list[str]:
    parameters = ", ".join(f"{name}={value!r}" for name, value in facts["parameters"].items())
    lines = [f"{facts['workflow']} {facts['variant']}: {parameters}"]
    if facts["status"] == "missing":
        return [*lines, "  it has not run yet"]
    for name, value in facts["outputs"].items():
        words = f"array {value['shape']} of {value['dtype']}" if isinstance(value, dict) else repr(value)
        lines.append(f"  {name} = {words}")
    if "failure" in facts:
        failure = facts["failure"]
        lines.append(f"  failed in {failure.get('task') or 'no known task'}: {failure['type']}: {failure['message']}")
        lines += [f"    {line}" for line in _end_of(str(failure.get("traceback") or ""))]
        lines += [f"    warned: {words}" for words in warning_lines(failure)]
        lines += [f"    printed: {line}" for line in str(failure.get("output", "")).splitlines()]
    environment = facts["environment"]
    rows: list[tuple[str, list[str]]] = [
        ("run", _run_words(facts["run"], has_failed="failure" in facts)),
        *(("task", _task_words(task)) for task in facts["tasks"]),
        *((label, [words]) for label, words in _artifact_words(facts["artifacts"])),
        ("code", [code_words(facts["code"], is_current=facts["definition"]["is_current"])]),
        *(("input", [input_words(one)]) for one in facts["inputs"][:_MOST]),
        ("", ["CHANGED while this was made: what it read is not known"] if facts["inputs_changed"] else []),
        ("environment", [environment_words(environment) if environment["digest"] else "not known"]),
        ("session", [_session_words(facts["session"])]),
        *(("earlier", [_earlier_words(one)]) for one in facts["earlier"]),
    ]
    return lines + [line for label, words in rows if words for line in _paragraph(label, words)]


_MOST = 20  # input files that are listed
_MOST_LINES = 25  # of a traceback
_WIDTH = 80


def _end_of(traceback: str) -> list[str]:
    lines = traceback.splitlines()
    return lines if len(lines) <= _MOST_LINES else ["...", *lines[-_MOST_LINES:]]


def _paragraph(label: str, words: list[str]) -> list[str]:
    """Words after a label, on several lines where they do not fit; none is broken."""
    lines = [f"  {label:<12}"]
    for number, word in enumerate(filter(None, words)):
        if number:
            lines[-1] += ","
            if len(lines[-1]) + 1 + len(word) >= _WIDTH:
                lines.append(" " * 14 + word)
                continue
        lines[-1] += f" {word}" if number else word
    return lines


def _run_words(run: Mapping[str, Any], *, has_failed: bool) -> list[str]:
    words = [str(run["start"]), f"took {render_seconds(run['wall_s'])}", f"attempt {run.get('attempt', 1)}"]
    words.append(f"on {run['worker']}" if run.get("worker") else "")
    words.append(f"node {run['node']}" if run.get("node") else "")
    words.append(f"job {run['job']}" if run.get("job") else "")
    mean = " in the mean of its neighbours" if run.get("is_share") else ""
    words.append(f"CPU {render_seconds(run['cpu_s'])}{mean}" if run.get("cpu_s") is not None else "")
    words.append(f"up to {render_bytes(run['peak_bytes'])}" if run.get("peak_bytes") else "")
    words.append(f"read {render_bytes(run['read_bytes'])}" if run.get("read_bytes") else "")
    words.append(f"wrote {render_bytes(run['written_bytes'])}" if run.get("written_bytes") else "")
    words.append(f"log {run['log']}" if has_failed and run.get("log") else "")
    return words


_STATUS_WORDS: Final = {"shared": "shared with other variants", "unknown": "time not known"}


def _task_words(task: Mapping[str, Any]) -> list[str]:
    words = [f"{task['name']} (source {str(task['fingerprint'])[:12]})"]
    is_timed = task["status"] == "done"
    status = str(task["status"])
    words.append(f"took {render_seconds(task['seconds'])}" if is_timed else _STATUS_WORDS.get(status, status))
    words += _elsewhere_words(task["ran"]) if "ran" in task else []
    words.append(f"after {', '.join(task['depends_on'])}" if task["depends_on"] else "")
    words.append(f"seed {task['seed']}" if "seed" in task else "")
    return words


def _elsewhere_words(ran: Mapping[str, Any]) -> list[str]:
    words = [f"took {render_seconds(ran['wall_s'])} at {ran['start']}", f"on {ran.get('worker')}"]
    words.append(f"node {ran['node']}" if ran.get("node") else "")
    words.append(f"job {ran['job']}" if ran.get("job") else "")
    words.append(f"session {ran.get('session')}")
    words.append(f"environment {str(ran['environment'])[:12]}" if ran.get("environment") else "")
    return words


def _artifact_words(artifacts: Mapping[str, Any]) -> list[tuple[str, str]]:
    made = [
        ("artifact", f"{one['artifact']}, made by {one['task']}, {one['size_bytes']:,} bytes, sha256 {one['sha256']}")
        for one in artifacts.get("generated", ())
    ]
    return made + [("used", f"{one['artifact']}, given to {one['task']}") for one in artifacts.get("used", ())]


def _session_words(session: Mapping[str, Any]) -> str:
    words = f"{session.get('session')}, driven on {session.get('host')} since {session.get('since')}"
    words += f" with {' '.join(session['argv'])}" if session.get("argv") else ""
    return words + changed_words(session)


def _earlier_words(one: Mapping[str, Any]) -> str:
    cause = f" ({one['cause']})" if one.get("cause") else ""
    return f"{one['start']}, attempt {one['attempt']}: {one['status']}{cause}; counts no longer"
