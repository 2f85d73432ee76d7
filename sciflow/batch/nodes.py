"""What the nodes of a queue have, as far as users are told: for saying at once what no node can give."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sciflow.batch.command import Commands
from sciflow.batch.script import checked_word
from sciflow.errors import BatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sciflow.batch.command import Answer

_PATIENCE_S: Final = 10.0
_GRES = re.compile(r"gpu(?::[^:,()]+)?:(\d+)")
_PBS_BYTES: Final = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


@dataclass(frozen=True, slots=True)
class Node:
    """What one node has for jobs."""

    cores: int
    memory_bytes: int
    gpus: int = 0


def find_nodes(system: str, queue: str | None, environ: Mapping[str, str] | None = None) -> frozenset[Node]:
    """The kinds of nodes of a queue; empty when nobody says.

    PBS does not tell which nodes a queue has: there it is those of all queues.
    """
    commands = Commands(_never_transient, environ, timeout_s=_PATIENCE_S, patience_s=_PATIENCE_S)
    try:
        if system == "slurm":
            # the star marks the default partition, which sinfo does not select by itself
            chosen = () if queue is None else (f"--partition={checked_word('partition', queue)}",)
            answer = commands.ask("sinfo", "--noheader", "--exact", *chosen, "--format=%P|%c|%m|%G")
            return parse_sinfo(answer.out, default_only=queue is None) if answer.status == 0 else frozenset()
        answer = commands.ask("pbsnodes", "-a", "-F", "json")
        return parse_pbsnodes(answer.out) if answer.status == 0 else frozenset()
    except BatchError:  # not there, or not now
        return frozenset()


def parse_sinfo(text: str, *, default_only: bool) -> frozenset[Node]:
    """Nodes from lines ``partition|cores|MiB|gres``, as in ``debug*|64|256000|gpu:a100:4``."""
    found: set[Node] = set()
    for line in text.splitlines():
        partition, cores, mebibytes, gres = line.split("|")
        if default_only and not partition.endswith("*"):
            continue
        gpus = sum(int(n) for n in _GRES.findall(gres))
        found.add(Node(_first_number(cores), _first_number(mebibytes) << 20, gpus))
    return frozenset(found)


def parse_pbsnodes(text: str) -> frozenset[Node]:
    """Nodes from what ``pbsnodes -a -F json`` prints."""
    try:
        nodes: Iterable[Any] = json.loads(text).get("nodes", {}).values()
    except (ValueError, AttributeError):  # its JSON is not always JSON
        return frozenset()
    return frozenset(
        Node(int(one.get("ncpus", 1)), _pbs_bytes(str(one.get("mem", "0b"))), int(one.get("ngpus", 0)))
        for one in (node.get("resources_available", {}) for node in nodes)
    )


def _pbs_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kmgt]?b)?", text.lower())
    return 0 if match is None else int(match[1]) * _PBS_BYTES[match[2] or "b"]


def _first_number(text: str) -> int:
    match = re.match(r"\d+", text)  # with a + behind it when nodes of a group have more
    return 0 if match is None else int(match[0])


def _never_transient(answer: Answer) -> bool:
    del answer
    return False
