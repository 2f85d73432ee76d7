"""What all tests share."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# the deadline of one example says nothing on machines that others use too
settings.register_profile("dev", max_examples=50, deadline=None)
# what gates a change tries the same examples each time; new ones are looked for at night
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("SCIFLOW_HYPOTHESIS_PROFILE", "dev"))

# a shell that starts the tests in the background has them ignore Ctrl-C, and what they start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
