"""Description: everything about a sweep besides its numbers, as nested plain data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sciflow.store.reproductions import in_short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sciflow.store.directory import SweepDirectory

SCHEMA: Final = 1
"""Version of what `describe_sweep` gives; it rises when a key changes its meaning or goes away."""


def describe_sweep(directory: SweepDirectory, ending: Mapping[str, object] | None = None) -> dict[str, Any]:
    """All that is kept of a sweep besides its records.

    Parameters
    ----------
    ending
        What the newest session's end will say, for a driver that has only that left to do.

    Returns
    -------
    dict
        JSON data of schema 1:

        ``schema``
            The version of this description.
        ``sweep``
            ``workflow``, ``seed``, ``created``, ``sweep`` (a UUID), ``format`` of the directory.
        ``definition``, ``n_revisions``
            The newest definition: space, tasks with their arguments and footprints, ``fingerprints`` of their
            sources, policy, resources, criteria, declared ``inputs``; and how many there have been.
        ``code``
            The state of the code when the sweep was last driven; see `sciflow.provenance.code.capture_code`.
        ``inputs``
            Declared input files: ``name``, ``sha256``, ``size_bytes``, and more by
            `sciflow.provenance.inputs.read_inputs`.
        ``seeds``
            ``sweep``, and the bit ``generator`` of the random numbers that tasks get.
        ``sessions``
            Who drove it, oldest first: host, process, times, the code then, what was done.
        ``core_hours``
            For how long workers held cores, in all sessions that ended well.
        ``energy_kwh``
            What sessions with ``Engine(energy=True)`` that ended well have used, estimated; None if there is none. Each
            has its own, and ``energy``, how it was estimated: see `sciflow.provenance.energy.measured_energy`.
        ``jobs``
            Jobs of a batch system in which its workers ran: session, id, node, how it ended, log.
        ``environments``
            What results were computed in, by digest; see `sciflow.provenance.environment.capture_environment`.
        ``reproductions``
            What came of it when others computed variants again; see `sciflow.store.reproductions`.
    """
    definitions = directory.definitions()
    definition = definitions[-1] if definitions else {}
    sessions = directory.sessions()
    if ending:
        sessions[-1] |= ending
    measured = [float(one["energy_kwh"]) for one in sessions if "energy_kwh" in one]
    return {
        "schema": SCHEMA,
        "sweep": dict(directory.identity),
        "definition": definition,
        "n_revisions": len(definitions),
        "code": next((one["code"] for one in reversed(sessions) if "code" in one), {"repository": None}),
        "inputs": [{key: value for key, value in one.items() if key != "seen"} for one in definition.get("inputs", [])],
        "seeds": {"sweep": directory.seed, "generator": "numpy.random.Philox"},
        "sessions": sessions,
        "core_hours": sum(float(one.get("core_s", one.get("worker_s", 0.0))) for one in sessions) / 3600,
        "energy_kwh": sum(measured) if measured else None,
        "jobs": list(_jobs(directory.path / "events")),
        "environments": directory.environments(),
        "reproductions": in_short(directory),
    }


def _jobs(events: Path) -> Iterator[dict[str, Any]]:
    """The jobs that the event logs tell of."""
    for path in sorted(events.glob("*.jsonl")):
        jobs: dict[str, dict[str, Any]] = {}
        for event in _events(path):
            job = event.get("job")
            if isinstance(job, str) and str(event["name"]).startswith("job."):
                one = jobs.setdefault(job, {"session": int(path.stem), "job": job})
                one |= {key: event[key] for key in ("resource_class", "node", "how", "words", "log") if event.get(key)}
        yield from jobs.values()


def _events(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as lines:
        for line in lines:
            if b'"job.' in line and line.endswith(b"\n"):
                yield json.loads(line)
