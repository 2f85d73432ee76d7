"""The lines that a job runs, and what comes with writing them."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORT = "import sciflow.clusters.worker_script"
IN_MAIN = f"import signal; before = signal.getsignal(signal.SIGINT); {IMPORT}; print(signal.getsignal(2) is before)"
IN_THREAD = f"""
import threading
def work():
    {IMPORT}
    print(True)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("script", [IN_MAIN, IN_THREAD], ids=["main thread", "another thread"])
def test_ctrl_c_means_the_same_after_dask_jobqueue_was_imported(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.stdout == "True\n", done.stderr
