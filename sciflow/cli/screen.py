"""The status of a sweep on a screen: what `sciflow status` prints once and `sciflow watch` draws again and again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sciflow.analysis.words import (
    controller,
    describe_event,
    describe_worker,
    one_line,
    render_left,
    render_rate,
    waiting,
)
from sciflow.cli.show import render_value
from sciflow.quantities import render_count, render_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from sciflow.analysis.status import DriverStatus, Status, WorkerStatus
    from sciflow.analysis.tally import FailureGroup

_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "running": ("● running", "bold green"),
    "waiting": ("◌ waiting", "bold yellow"),
    "submitted": ("◌ submitted", "bold yellow"),
    "complete": ("✔ complete", "bold green"),
    "stopped": ("■ stopped", "bold yellow"),
    "failed": ("✖ controller failed", "bold red"),
    "silent": ("? silent", "bold red"),
    "died": ("✖ driver died", "bold red"),
    "new": ("○ not begun", "bold"),
}
_ASCII = str.maketrans(
    {"●": "*", "◌": "o", "✔": "+", "■": "#", "✖": "x", "○": "o", "━": "=", "╸": "-", "·": "-", "…": "~"}
)
_MOST_REASONS, _MOST_WORKERS, _MOST_EVENTS = 5, 8, 5
_LINES_OF_HEAD = 7  # title, path, bar, counts, what separates them, and one that stays free


class Screen:
    """Draws statuses for one console.

    Parameters
    ----------
    console
        Where to; its width decides what fits.
    whole
        Whether texts that are too long are wrapped; otherwise they are cut, so that lines stay where they are.
    """

    def __init__(self, console: Console, *, whole: bool = True) -> None:
        self._console = console
        self._ascii = console.options.ascii_only
        self._cut: Any = "crop" if self._ascii else "ellipsis"
        self._overflow: Any = "fold" if whole else self._cut
        self._whole = whole

    def draw(self, status: Status, separators: Mapping[tuple[str, str, str], str] | None = None) -> Group:
        """The whole screen.

        Parameters
        ----------
        separators
            For a reason of failures (cause, task, fingerprint): which variants it meets, in words.
        """
        n_reasons, n_workers, n_events = self._room(status)
        parts: list[RenderableType] = [*self._head(status), "", self._facts(status)]
        if status.failures and n_reasons:
            parts += ["", self._heading("Failures"), *self._failures(status, n_reasons, separators or {})]
        if status.workers and n_workers:
            parts += ["", self._heading("Workers"), *self._workers(status, n_workers)]
        if status.events and status.is_driven and n_events:
            parts += ["", self._heading("Latest"), self._events(status, n_events)]
        if status.problems:
            parts += ["", self._heading("Damage"), *(self._text(problem, "red") for problem in status.problems)]
        return Group(*parts)

    def _room(self, status: Status) -> tuple[int, int, int]:
        """How many reasons, workers and events are shown."""
        if self._whole:
            return _MOST_REASONS, _MOST_WORKERS, _MOST_EVENTS
        room = self._console.height - _LINES_OF_HEAD - bool(status.waiting) - len(list(self._known(status)))
        reasons = _fitting(min(len(status.failures), _MOST_REASONS), status.n_reasons, room // 2, lines_each=2)
        room -= _lines(reasons, status.n_reasons, lines_each=2)
        events = _fitting(min(len(status.events), _MOST_EVENTS), 0, room // 3)
        room -= _lines(events, 0)
        return reasons, _fitting(len(status.workers), status.n_workers, room), events

    # ---------------------------------------------------------------------------------------------------------- head

    def _head(self, status: Status) -> Iterator[RenderableType]:
        width = self._console.width
        word, style = _headline(status)
        title = Table.grid(expand=True)
        title.add_column(overflow=self._cut, no_wrap=True, ratio=1)
        title.add_column(justify="right", no_wrap=True)
        title.add_row(self._text(status.workflow, "bold"), self._text(word, style))
        yield title
        if Path(status.path).name != status.workflow or len(status.path) < width:
            yield self._text(status.path, "dim")
        yield ""
        yield self._bar(status, width)
        yield self._counts(status)
        if status.waiting:
            yield self._text(waiting(status), "yellow")

    def _bar(self, status: Status, width: int) -> Text:
        """Shares of the space; in characters too, for those who see no colours."""
        share = f" {_percent(status.n_settled, status.n_variants)}"
        room = max(10, width - len(share))
        marks = "=~x." if self._ascii else "━━━─"
        cells = _shares([status.n_done, status.n_stale, status.n_failed, status.n_missing], room)
        bar = Text(no_wrap=True)
        for n, mark, style in zip(cells, marks, ("green", "yellow", "red", "bright_black"), strict=True):
            bar.append(mark * n, style)
        return bar.append(share, "bold")

    def _counts(self, status: Status) -> Text:
        words = Text(f"{render_count(status.n_variants, 'variant')}: ", overflow="fold")
        pieces = [(status.n_done, "done", "green"), (status.n_failed, "failed", "red")]
        if status.n_stale:
            pieces.insert(1, (status.n_stale, "stale", "yellow"))
        pieces.append((status.n_missing, "missing", "default"))
        for k, (n, word, style) in enumerate(pieces):
            words.append(", " if k else "").append(f"{n:,} {word}", style if n else "dim")
        if status.n_running:
            words.append(f" ({status.n_running:,} running)", "cyan")
        if status.n_undone > status.n_missing:
            words.append(f"; {status.n_undone:,} that were to run again are left", "yellow")
        return words

    # --------------------------------------------------------------------------------------------------------- facts

    def _facts(self, status: Status) -> Table:
        table = self._table("dim", gap=2)
        for name, value in self._known(status):
            table.add_row(name.ljust(len("time left")), value)
        return table

    def _known(self, status: Status) -> Iterator[tuple[str, Text]]:
        if status.rate is not None:
            yield "rate", self._text(render_rate(status.rate))
        if status.left is not None and status.n_left:
            # an end that is days away needs its date
            clock = (
                "%H:%M:%S"
                if status.left.usual_s < 3600
                else "%H:%M"
                if status.left.usual_s < 43_200
                else "%a %d %b %H:%M"
            )
            end = time.strftime(clock, time.localtime(status.time + min(status.left.usual_s, 1e10)))
            yield "time left", self._text(f"about {render_left(status.left)}; ends at {end}")
        elif status.why_unknown and not status.waiting:
            yield "time left", self._text(f"unknown: {status.why_unknown}", "dim")
        if status.utilisation is not None or status.n_workers:
            busy = "" if status.utilisation is None else f"busy {status.utilisation:.0%} of the time"
            n = f"{status.n_workers:,}" if status.n_workers else ""
            yield "workers", self._text(", ".join(word for word in (n, busy) if word))
        if status.jobs is not None:
            is_bad = bool(status.jobs.refused or status.jobs.away)
            yield "jobs", self._text(str(status.jobs).removeprefix("jobs: "), "yellow" if is_bad else "default")
            logs = {str(Path(job.log).parent) for job in status.jobs.jobs if job.log}
            if logs:
                yield "job logs", self._text(", ".join(sorted(logs)), "dim")
        yield "driver", self._driver(status.driver, status.time, status.n_undone)
        said = controller(status)
        if status.controller is not None and said:
            is_bad = status.controller.state == "died" or status.controller.how in {"failed", "given_up"}
            yield "controller", self._text(said, "red" if is_bad else "default")

    def _driver(self, driver: DriverStatus | None, now: float, n_undone: int) -> Text:
        if driver is None:
            return self._text("none has worked on it")
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(driver.since))
        where = f"host {driver.host}, pid {driver.pid}"
        match driver.life:
            case "alive":
                asked = "; it was asked to stop" if driver.cancel_requested else ""
                return self._text(f"at work for {render_seconds(max(0.0, now - driver.since))} ({where}){asked}")
            case "ended":
                ended = driver.ended or driver.since
                took = render_seconds(max(0.0, ended - driver.since))
                how = f"stopped with {n_undone:,} left to run" if n_undone else "ended well"
                return self._text(f"none; the last {how}, {began} after {took} ({where})")
            case "died":
                return self._text(f"none; the last died ({where}, since {began}); run the script again to go on", "red")
            case "silent":
                return self._text(
                    f"no sign of life ({where}, since {began}); if it is gone, run the script again to go on", "red"
                )

    # ------------------------------------------------------------------------------------------------------ failures

    def _failures(
        self, status: Status, most: int, separators: Mapping[tuple[str, str, str], str]
    ) -> Iterator[RenderableType]:
        table = self._table("red", justify="right")
        for group in status.failures[:most]:
            where = separators.get((group.cause, group.task, group.fingerprint), "")
            table.add_row(f"{group.count:,}", self._reason(group, where))
            table.add_row("", self._text(self._example(status, group), "dim"))
        yield table
        rest = status.n_reasons - min(most, len(status.failures))
        if rest > 0:
            yield self._text(f"and {rest:,} further reasons", "dim")

    def _reason(self, group: FailureGroup, where: str) -> Text:
        head = " ".join(word for word in (group.cause, f"in {group.task}" if group.task else "") if word)
        text = self._text("").append_text(self._text(head, "bold"))
        if where:
            text.append_text(self._text(f" ({where})", "yellow"))
        return text.append_text(self._text(f": {one_line(group)}"))

    def _example(self, status: Status, group: FailureGroup) -> str:
        example = group.example
        words = [f"such as {example.id}"]
        if example.parameters:
            words.append(_parameters(example.parameters))
        if example.host:
            words.append(f"on {example.host}")
        log = Path(status.path) / "logs" / f"{example.id}.log"
        if log.exists():
            words.append(f"log: {log}")
        return " · ".join(words)

    # -------------------------------------------------------------------------------------------- workers and events

    def _workers(self, status: Status, most: int) -> Iterator[RenderableType]:
        table = self._table("dim", "cyan", gap=2, whole=False)
        shown = status.workers[:most]
        hosts = {worker.host for worker in status.workers}
        for worker in shown:
            name = f"{worker.pid}" if len(hosts) == 1 else f"{worker.host}:{worker.pid}"
            style = "dim" if worker.running_s is None else ""
            table.add_row(name, self._text(describe_worker(worker), style), self._variant(worker))
        yield table
        if status.n_workers > len(shown):
            yield self._text(f"and {status.n_workers - len(shown):,} further workers", "dim")

    def _variant(self, worker: WorkerStatus) -> Text:
        return self._text(_parameters(worker.parameters) if worker.parameters else worker.variant)

    def _events(self, status: Status, most: int) -> Table:
        table = self._table("dim")
        for event in status.events[len(status.events) - most :]:
            day = "%H:%M:%S" if status.time - event.time < 43_200 else "%d %b %H:%M"
            table.add_row(time.strftime(day, time.localtime(event.time)), self._text(describe_event(event)))
        return table

    # ------------------------------------------------------------------------------------------------ text and tables

    def _table(
        self, *styles: str, gap: int = 1, justify: Literal["left", "right"] = "left", whole: bool | None = None
    ) -> Table:
        """A table with a column for each style, as wide as it has to be, and one for what room is left."""
        table = Table.grid(padding=(0, gap), expand=True)
        for style in styles:
            table.add_column(style=style, justify=justify, no_wrap=True)
        wraps = self._whole if whole is None else whole
        table.add_column(overflow="fold" if wraps else self._cut, no_wrap=not wraps, ratio=1)
        return table

    def _heading(self, word: str) -> Text:
        return self._text(word, "bold")

    def _text(self, text: str, style: str = "") -> Text:
        """Text as it is: nothing in it is markup, and control characters of users' messages stay out."""
        plain = "".join(c if c.isprintable() else " " for c in text)
        if self._ascii:
            plain = plain.translate(_ASCII).encode("ascii", "replace").decode()
        return Text(plain, style, overflow=self._overflow)


def _headline(status: Status) -> tuple[str, str]:
    """The state in a word or two, and its style."""
    if status.state == "complete" and status.n_failed:
        return f"! complete, {status.n_failed:,} failed", "bold yellow"
    if status.state == "died" and status.controller is not None:
        return "✖ controller died", "bold red"
    return _STATES[status.state]


def _parameters(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={render_value(value)}" for name, value in parameters.items())


def _lines(n_shown: int, n: int, *, lines_each: int = 1) -> int:
    """Lines of a section: an empty one, its heading, its items, and how many there are besides."""
    return 2 + n_shown * lines_each + (n > n_shown) if n_shown else 0


def _fitting(most: int, n: int, room: int, *, lines_each: int = 1) -> int:
    """How many of *n* items a section shows in so many lines."""
    return next((k for k in range(most, 0, -1) if _lines(k, n, lines_each=lines_each) <= room), 0)


def _percent(part: int, whole: int) -> str:
    """A share that is 100 % only if it is all, and 0 % only if it is nothing."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if part not in {0, whole}:
        percent = min(max(percent, 0.1), 99.9)
    return f"{percent:.0f} %" if percent in {0.0, 100.0} else f"{percent:.1f} %"


def _shares(counts: list[int], n_cells: int) -> list[int]:
    """Cells of a bar for each count; whatever there is of has at least one, where they suffice."""
    total = sum(counts)
    if not total:
        return [0] * (len(counts) - 1) + [n_cells]
    cells = [max(1, n_cells * n // total) if n else 0 for n in counts]
    cells[cells.index(max(cells))] += n_cells - sum(cells)
    return cells
