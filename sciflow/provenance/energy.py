"""Energy that this process and its children use, estimated by codecarbon, without any word to the network.

What is estimated is a share. Of the processor it is the rated power times the part of its time that these processes
took, seen each second, so on a node that others use too only what is ours counts, and an idle node counts nothing;
where the rated power is not known, and of graphics cards always, it is what the whole device took, whoever used it.
Power supplies, cooling and networks are not in it. There is no figure for carbon dioxide: it depends on where and when
the electricity was made, which nobody here knows.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Generator

MISSING: Final = 'energy=True needs the package codecarbon, which is not installed; pip install "sciflow[energy]"'

_SAMPLE_S: Final = 10
_ROUND: Final = 9  # decimals of a kWh: milliwatt seconds


def require_codecarbon() -> None:
    """See to it that energy can be measured.

    Raises
    ------
    SweepError
        codecarbon is not installed.
    """
    if importlib.util.find_spec("codecarbon") is None:
        raise SweepError(MISSING)


@contextlib.contextmanager
def measured_energy(*, wanted: bool) -> Generator[dict[str, Any]]:
    """Measure while the block runs.

    Yields
    ------
    dict
        Empty, until the block is over; then ``energy_kwh``, and ``energy`` with ``cpu_kwh``, ``gpu_kwh``, ``ram_kwh``,
        ``seconds``, and how they were found: ``hardware`` (codecarbon's words for its methods), ``cpu_model``,
        ``codecarbon`` (its version), ``scope``. Where codecarbon could not, ``energy`` has a ``problem``. Nothing at
        all if nothing is *wanted*.
    """
    found: dict[str, Any] = {}
    if not wanted:
        yield found
        return
    with _silent():
        tracker = _started()
        try:
            yield found
        finally:
            found |= _stopped(tracker)


@contextlib.contextmanager
def _silent() -> Generator[None]:
    """Codecarbon says what it does, from its threads too; the user's own use of it is as it was afterwards."""
    log = logging.getLogger("codecarbon")
    before = log.disabled, log.level
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before[0]
        log.setLevel(before[1])


def _started() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from codecarbon import OfflineEmissionsTracker  # noqa: PLC0415  an extra, and heavy

        tracker: Any = OfflineEmissionsTracker(
            tracking_mode="process",
            force_mode_cpu_load=True,  # counters of the processor count everybody on the machine
            measure_power_secs=_SAMPLE_S,
            log_level="critical",
            # whatever the user's configuration of codecarbon says: nothing is written or sent
            output_methods=[],
            output_handlers=[],
            emissions_endpoint=None,
            electricitymaps_api_token=None,
            allow_multiple_runs=True,
        )
        tracker.start()
    return tracker


def _stopped(tracker: Any) -> dict[str, Any]:
    tracker.stop()
    data: Any = getattr(tracker, "final_emissions_data", None)
    if data is None:  # it swallows its own errors
        return {"energy": {"problem": "codecarbon did not measure"}}
    return {
        "energy_kwh": round(float(data.energy_consumed), _ROUND),
        "energy": {
            "cpu_kwh": round(float(data.cpu_energy), _ROUND),
            "gpu_kwh": round(float(data.gpu_energy), _ROUND),
            "ram_kwh": round(float(data.ram_energy), _ROUND),
            "seconds": round(float(data.duration), 3),
            "scope": "the driver's process and its children",
            "hardware": list(getattr(tracker, "_conf", {}).get("hardware", ())),
            "cpu_model": str(data.cpu_model),
            "codecarbon": str(data.codecarbon_version),
        },
    }
