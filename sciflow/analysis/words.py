"""The status of a sweep in words: sentences that screens, logs and notebooks share."""

from __future__ import annotations

import html
import math
import time
from typing import TYPE_CHECKING, Any

from sciflow.analysis.jobs import describe_job_event
from sciflow.quantities import render_bytes, render_count, render_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sciflow.analysis.status import Status, TimeLeft, WorkerStatus
    from sciflow.analysis.tally import FailureGroup
    from sciflow.events import Event

_MOST_FAILURES = 5
_MOST_MESSAGE = 160  # characters of a message in a line


def status_text(status: Status) -> str:
    """The status in a few lines."""
    lines = [f"{status.workflow} ({status.path})", counts(status), speed(status), who(status), waiting(status)]
    lines.append(str(status.jobs or ""))
    lines.append(controller(status))
    shown = status.failures[:_MOST_FAILURES]
    for group in shown:
        task = f" in {group.task}" if group.task else ""
        lines.append(f"{group.count:,} failed{task}: {one_line(group)}")
    if status.n_reasons > len(shown):
        lines.append(f"and {status.n_reasons - len(shown):,} further reasons")
    return "\n".join(line for line in [*lines, *status.problems] if line)


def status_line(status: Status) -> str:
    """The status in one line, for log files."""
    words = [counts(status), speed(status), waiting(status) or ("" if status.is_driven else status.state)]
    return f"{status.workflow}: " + "; ".join(word for word in words if word)


def status_html(status: Status) -> str:
    """The status for notebooks."""
    shares = [("#2e8b57", status.n_done), ("#b8a13a", status.n_stale), ("#c0392b", status.n_failed)]
    total = max(status.n_variants, 1)
    bar = "".join(f"<div style='background:{colour};width:{100 * n / total:.3f}%'></div>" for colour, n in shares if n)
    rows = {
        "variants": counts(status),
        "speed": speed(status),
        "driver": who(status),
        "controller": controller(status),
        "waiting": status.waiting,
        "jobs": str(status.jobs or ""),
    }
    rows |= {
        f"{group.count:,} failed": f"{group.task}: {one_line(group)}" for group in status.failures[:_MOST_FAILURES]
    }
    body = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(key)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for key, value in rows.items()
        if value
    )
    return (
        f"<div><b>{html.escape(status.workflow)}</b> <code>{html.escape(status.path)}</code>"
        "<div style='display:flex;height:8px;width:30em;max-width:100%;background:#8884;margin:4px 0'>"
        f"{bar}</div><table style='color:inherit;font:inherit'>{body}</table></div>"
    )


def counts(status: Status) -> str:
    """How many variants are in each state, in words."""
    words = [f"{status.n_done:,} done", f"{status.n_failed:,} failed", f"{status.n_missing:,} missing"]
    if status.n_stale:
        words.insert(1, f"{status.n_stale:,} stale")
    return f"{render_count(status.n_variants, 'variant')}: {', '.join(words)}"


def idle(n_variants: int, *, n_done: int, n_stale: int, n_failed: int, path: object, asked: str = "") -> str:
    """That nothing is to run (of what was *asked* for), what there is, and what to do about failures, in words."""
    words = [f"{n_done:,} of {render_count(n_variants, 'variant')} done"]
    if n_stale:
        words.append(f"{render_count(n_stale, 'result')} of other code kept")
    if n_failed:
        words.append(f"{n_failed:,} failed (to run them again: sciflow retry {path})")
    return f"nothing to run{f' ({asked})' if asked else ''}: {', '.join(words)}"


def waiting(status: Status) -> str:
    """What the driver waits for, and how far the sweep is, in words; empty when it does not wait."""
    if not status.waiting:
        return ""
    return f"waiting: {status.waiting}; {status.n_done:,} of {status.n_variants:,} done"


def render_wait(facts: Mapping[str, Any] | None, now: float) -> str:
    """What is waited for, with the time left as of *now*, from what the driver said when it began to wait."""
    if facts is None:
        return ""
    text = str(facts.get("reason") or facts.get("explanation") or "the window is closed")
    next_open = facts.get("next_open")
    if not isinstance(next_open, int | float) or "reason" not in facts:
        return text
    # rounded up, so that it never says "in 0 s" before the time
    left_s = math.ceil(next_open - now)
    return f"{text} ({f'in {render_seconds(left_s)}' if left_s > 0 else 'any moment now'})"


def speed(status: Status) -> str:
    """Rate, time left and utilisation, in words; what is not known is left out."""
    words = [render_rate(status.rate)] if status.rate else []
    if status.left is not None and status.n_left:
        words.append(f"about {render_left(status.left)} left")
    elif status.why_unknown:
        words.append(f"time left unknown: {status.why_unknown}")
    if status.utilisation is not None:
        words.append(f"workers busy {status.utilisation:.0%} of the time")
    return "; ".join(words)


def who(status: Status) -> str:
    """Who works on the sweep, in words."""
    driver = status.driver
    if driver is None:
        return "no driver has worked on it"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(driver.since))
    name = f"host {driver.host}, pid {driver.pid}, since {since}"
    match driver.life:
        case "alive":
            asked = "; it was asked to stop" if driver.cancel_requested else ""
            return f"a driver works on it: {name}{asked}"
        case "ended":
            how = f"stopped with {status.n_undone:,} left to run" if status.n_undone else "ended well"
            return f"nobody works on it; the last driver {how} ({name})"
        case "died" if status.is_driven:
            return f"nobody works on it at the moment; the last driver died ({name})"
        case "died":
            return f"nobody works on it; the last driver died ({name}); run the script again to go on"
        case "silent":
            return f"the driver shows no sign of life ({name}); if it is gone, run the script again to go on"


def controller(status: Status) -> str:
    """Where its controller is and what became of it, in words; empty when the sweep was not submitted to one."""
    one = status.controller
    if one is None:
        return ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.since))
    place = f"{one.system} job {one.job or '(unknown)'}" if one.kind == "job" else f"host {one.host}, pid {one.pid}"
    asked = "; it was asked to stop" if one.cancel_requested else ""
    said = f": {one.message}" if one.message else ""
    nth = f", the {_ordinal(one.generation)} of its jobs" if one.generation > 1 else ""
    log = f"; log: {one.log}"
    match one.state:
        case "working":
            what = f"is {place}{nth}{asked}{log}"
        case "starting" if one.kind == "job":
            what = f"has its turn{said}{asked}{log}"
        case "starting":
            what = f"is starting{asked}{log}"
        case "queued":
            what = f"waits for its turn ({place}{nth}){said}{asked}{log}"
        case "ended" if one.how in {"finished", "cancelled"}:
            what = "finished" if one.how == "finished" else "was cancelled"
        case "ended":
            what = f"{_ENDS.get(one.how, one.how)}{said}{log}"
        case "died":
            what = f"died ({place}){said}{log}; submit it again to go on"
    return f"submitted {when}; its controller {what}"


_ENDS = {"given_up": "gave up", "stopped": "was stopped", "superseded": "died"}


def _ordinal(n: int) -> str:
    suffix = "th" if n % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{suffix}"


def one_line(group: FailureGroup) -> str:
    """What went wrong, in one line."""
    first = (group.message.strip().splitlines() or [""])[0][:_MOST_MESSAGE]
    return f"{group.type}: {first}" if first else group.type or group.cause


def render_rate(rate: float) -> str:
    """A rate for people: per second, or, when that is little, per minute, hour or day."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if rate * seconds >= 1:
            return f"{_short(rate * seconds)} variants/{unit}"
    return f"{_short(rate * 86400)} variants/d"


def render_left(left: TimeLeft) -> str:
    """The time left for people, with its interval."""
    if left.usual_s == math.inf:
        return "an unknown time"
    usual, least = render_seconds(left.usual_s), render_seconds(left.least_s)
    if left.most_s == math.inf:
        return f"{usual} ({least} or more)"
    most = render_seconds(left.most_s)
    return usual if least == most else f"{usual} ({least} to {most})"


def describe_event(event: Event) -> str:  # noqa: PLR0911  one sentence for each kind of event
    """An event for people, in one line."""
    facts: Mapping[str, Any] = event.facts
    match event.name:
        case "sweep.started":
            return f"began: {facts.get('todo', 0):,} of {render_count(facts.get('variants', 0), 'variant')} to run"
        case "sweep.finished":
            return f"finished: {facts.get('done', 0):,} done, {facts.get('failed', 0):,} failed"
        case "sweep.stopped":
            reason = facts.get("reason")
            return f"stopped{f': {reason}' if reason else ''}; {facts.get('done', 0):,} done are kept"
        case "variant.failed":
            where = f" in {facts['task']}" if facts.get("task") else ""
            message = (str(facts.get("message", "")).strip().splitlines() or [""])[0][:_MOST_MESSAGE]
            return f"first {facts.get('cause', 'failure')}{where}: {message or facts.get('fingerprint', '')}"
        case "worker.lost":
            how = facts.get("how") or facts.get("worker") or ""
            if facts.get("cause") == "window":
                return f"a worker was ended with what it ran: {how}"
            suspect = f"; it ran {facts['suspect']}" if facts.get("suspect") else ""
            return f"a worker died{f' ({how})' if how else ''}{suspect}"
        case "window.closed" | "window.opened" | "window.overrun":
            return _describe_window(event)
        case name if name.startswith(("job", "batch.away", "batch.back")):
            return describe_job_event(event)
        case name:
            told = ", ".join(f"{key}={value}" for key, value in facts.items() if isinstance(value, str | int | float))
            return f"{name}: {told}"[:_MOST_MESSAGE] if told else name


def _describe_window(event: Event) -> str:
    facts: Mapping[str, Any] = event.facts
    match event.name:
        case "window.closed":
            return f"waiting: {facts.get('reason') or facts.get('explanation', 'the window is closed')}"
        case "window.opened":
            return "the window opened"
        case _:
            n, grace_s = facts.get("variants", 0), facts.get("end_by", 0) - facts.get("closed", 0)
            runs = "1 variant still runs" if n == 1 else f"{n:,} variants still run"
            return f"the window closed, and {runs}: ended with the worker after {render_seconds(grace_s)}"


def describe_worker(worker: WorkerStatus) -> str:
    """What a worker does, in a few words."""
    if worker.running_s is None:
        return f"{worker.n_finished:,} finished, {render_bytes(worker.memory_bytes)}"
    done = "" if worker.progress is None else f", {worker.progress:.0%}"
    return f"{worker.task or 'a variant'} for {render_seconds(worker.running_s)}{done}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
