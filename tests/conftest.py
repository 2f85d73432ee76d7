"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the deadline of one example says nothing on machines that others use too
settings.register_profile("dev", max_examples=50, deadline=None)
# what gates a change tries the same examples each time; new ones are looked for at night
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("SCIFLOW_HYPOTHESIS_PROFILE", "dev"))

# a shell that starts the tests in the background has them ignore Ctrl-C, and what they start would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

SLURM_LOCAL = Path(__file__).parents[1] / ".ci" / "slurm-local"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Deal tests out to the processes of ``pytest -n`` so that none is left with the longest at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.get_closest_marker("slurm"):  # they look at all jobs of their SLURM, of which each process has its own
            item.add_marker(pytest.mark.xdist_group(f"slurm-{item.path.stem}"))
        elif "packag" in item.nodeid.partition("::")[0]:  # what they share takes seconds to be made
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True)
def processes_are_measured_where_marked(request, monkeypatch):
    """Coverage of the processes that a test starts: it doubles what they cost, and most tests cover the same lines."""
    if request.node.get_closest_marker("measured") is None:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Linear algebra in tests takes one thread: where processes share cores, more of them wait spinning."""
    import numpy as np
    import scipy.linalg

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KMP_DUPLICATE_LIB_OK", "")  # which the next import sets, for whatever tests start
        patch.delenv("KMP_DUPLICATE_LIB_OK")
        import threadpoolctl
    scipy.linalg.inv(np.eye(2))  # has loaded what is limited
    with threadpoolctl.threadpool_limits(1):
        yield


@dataclass(frozen=True)
class ThrowAwaySlurm:
    """A real SLURM of four nodes on this machine; `sbatch` and the like see it while the fixture lives."""

    folder: Path
    port: int

    def __call__(self, *words: str) -> str:
        """Run a subcommand of .ci/slurm-local: ``bounce``, ``fail-node node2``, ``heal-node node2``, ..."""
        environ = {**os.environ, "SLURM_LOCAL_DIR": str(self.folder), "SLURM_LOCAL_PORT": str(self.port)}
        done = subprocess.run([str(SLURM_LOCAL), *words], env=environ, capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            raise RuntimeError(f"slurm-local {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    @property
    def conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"


def free_ports(n: int) -> int:
    """The first of *n* ports in a row that nobody listens on."""
    # below those that the system hands out, beginning somewhere else in each process
    for first in range(20000 + os.getpid() % 1000 * 10, 32000, n):
        with ExitStack() as stack:
            try:
                for port in range(first, first + n):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


@contextmanager
def stopped_with_us(cluster):
    """Have the cluster stopped even when this process is killed."""
    watch = 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; exec bash /dev/fd/0 stop --purge'
    environ = {**os.environ, "SLURM_LOCAL_DIR": str(cluster.folder)}
    # the program is kept open: the checkout may be gone by then
    with (
        SLURM_LOCAL.open() as program,
        subprocess.Popen(
            ["/bin/sh", "-c", watch, "sh", str(os.getpid())],
            stdin=program,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
        ) as watcher,
    ):
        try:
            yield
        finally:
            try:
                if (cluster.folder / "etc").exists():
                    cluster("stop", "--purge")
                else:  # nothing was started
                    shutil.rmtree(cluster.folder)
            finally:
                watcher.kill()


@pytest.fixture(scope="session")
def slurm():
    """A SLURM of this test session's own; tests give their jobs names of their own and leave none behind."""
    # a short path: sockets live below it
    folder = Path(tempfile.mkdtemp(prefix="sciflow-slurm-", dir="/tmp"))
    cluster = ThrowAwaySlurm(folder, free_ports(5))
    with stopped_with_us(cluster), pytest.MonkeyPatch.context() as patch:
        try:
            cluster("start")
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        else:
            patch.setenv("SLURM_CONF", str(cluster.conf))
            yield cluster
            return
    # after what had started was stopped
    pytest.skip(f"no SLURM can be started here: {why}")
