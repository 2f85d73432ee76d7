from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from sciflow.engine.progress import Bar, Lines, Silent, end_line, open_display


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


def run(lines, clock, *, until, every=1, n=10, failed=0):
    while clock.now < until:
        clock.now += every
        lines.advance(n - failed, failed)


def test_a_log_gets_a_line_every_ten_seconds_with_failures_rate_and_time_left(clock, stream):
    lines = Lines("decay", 1000, 100, stream, clock)

    run(lines, clock, until=20, failed=1)

    assert stream.getvalue().splitlines() == [
        "decay: 200 of 1,000 variants, 10 failed, 10 variants/s, about 1 min 20 s left",
        "decay: 300 of 1,000 variants, 20 failed, 10 variants/s, about 1 min 10 s left",
    ]


def test_the_rate_is_that_of_late_and_not_of_all_time(clock, stream):
    lines = Lines("decay", 10_000, 0, stream, clock)
    run(lines, clock, until=600, every=10, n=1)

    run(lines, clock, until=700, n=20)

    assert "20 variants/s" in stream.getvalue().splitlines()[-1]


def test_nothing_is_said_of_the_rate_before_it_is_known(clock, stream):
    lines = Lines("decay", 1000, 0, stream, clock)
    clock.now = 30
    lines.advance(1, 0)

    assert stream.getvalue() == "decay: 1 of 1,000 variants\n"


def test_the_last_line_of_a_log_is_the_final_count_or_what_the_driver_says(clock, stream):
    nothing, counted, told = (Lines("decay", 10, 0, stream, clock) for _ in range(3))
    nothing.close()
    assert stream.getvalue() == ""

    counted.advance(10, 0)
    counted.close()
    told.advance(10, 0)
    told.close("decay: it is over")
    told.close()

    assert stream.getvalue() == "decay: 10 of 10 variants\ndecay: it is over\n"


def test_a_bar_counts_failures_and_keeps_what_is_said(capsys):
    bar = Bar("decay", 10, 2)
    bar.advance(3, 1)
    bar.say("window closed")
    bar.close("decay: it is over")
    bar.close()

    shown = capsys.readouterr().err
    assert "6/10" in shown
    assert "1 failed" in shown
    assert "window closed" in shown
    assert shown.count("it is over") == 1


def test_a_bar_of_a_large_sweep_fits_a_narrow_terminal():
    code = """
import fcntl, struct, sys, termios
fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
from sciflow.engine.progress import open_display
bar = open_display("neural_net", 1_000_000, 0, wanted=True)
bar._meter._clock = iter(range(100)).__next__
for _ in range(12):
    bar.advance(12_345, 67)
bar._bar.refresh()
bar.close()
"""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES"}}
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:  # the other side is closed
            pass
    os.close(ours)

    lines = [line for line in shown.decode().replace("\n", "\r").split("\r") if line.strip()]
    assert process.returncode == 0
    assert max(map(len, lines)) <= 80
    assert any("148,944/1,000,000, 804 failed, " in line and line.rstrip().endswith(" left") for line in lines)
    assert " left" not in lines[-1]


def test_without_progress_only_what_must_be_said_is_said(capsys):
    display = open_display("decay", 10, 0, wanted=False)
    display.advance(1, 1)
    display.say("waiting")
    display.close("it is over")

    assert isinstance(display, Silent)
    assert capsys.readouterr().err == "waiting\n"


def test_a_log_file_gets_lines_and_no_bar():
    assert isinstance(open_display("decay", 10, 0, wanted=True), Lines)


def test_the_end_says_what_was_run_how_fast_and_how_busy_the_workers_were():
    assert end_line("decay", 998, 2, 12.5, 0.947) == (
        "decay: 1,000 variants (2 failed) in 12 s, 80 variants/s; workers were busy 95% of the time"
    )
    assert end_line("decay", 0, 0, 0.0, None) == "decay: 0 variants in 0 ms"
