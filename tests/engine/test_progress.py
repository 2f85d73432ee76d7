from __future__ import annotations

import io

from sciflow.engine.progress import Bar, Lines, Silent, open_display


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_every_ten_seconds_with_rate_and_time_left():
    clock, stream = Clock(), io.StringIO()
    lines = Lines("decay", 1000, 100, stream, clock)

    clock.now = 5
    lines.advance(50, 0)
    clock.now = 20
    lines.advance(48, 2)

    assert stream.getvalue() == "decay: 200 of 1,000 variants, 2 failed, 5 variants/s, about 2 min 40 s left\n"


def test_the_last_line_of_a_log_is_the_final_count_and_nothing_done_says_nothing():
    clock, stream = Clock(), io.StringIO()
    Lines("decay", 10, 0, stream, clock).close()
    assert stream.getvalue() == ""

    lines = Lines("decay", 10, 0, stream, clock)
    clock.now = 2
    lines.advance(10, 0)
    lines.close()
    assert stream.getvalue() == "decay: 10 of 10 variants, 5 variants/s\n"


def test_a_bar_counts_failures_and_keeps_what_is_said(capsys):
    bar = Bar("decay", 10, 2)
    bar.advance(3, 1)
    bar.say("window closed")
    bar.close()

    shown = capsys.readouterr().err
    assert "6/10" in shown
    assert "1 failed" in shown
    assert "window closed" in shown


def test_without_progress_only_what_must_be_said_is_said(capsys):
    display = open_display("decay", 10, 0, wanted=False)
    display.advance(1, 1)
    display.say("waiting")
    display.close()

    assert isinstance(display, Silent)
    assert capsys.readouterr().err == "waiting\n"


def test_a_log_file_gets_lines_and_no_bar():
    assert isinstance(open_display("decay", 10, 0, wanted=True), Lines)
