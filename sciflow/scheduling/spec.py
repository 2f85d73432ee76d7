"""Policies from plain data: a name and its options, as people and files write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from sciflow.errors import PolicyError
from sciflow.scheduling.load import LoadAware
from sciflow.scheduling.offpeak import OPTIONS, OffPeak
from sciflow.scheduling.policy import All, Immediate, Policy
from sciflow.scheduling.priority import Priority

_EXAMPLE = "{'preferred_hours': '22:00-08:00'}"


def parse_policy(name: str, options: Mapping[str, object] | None = None) -> Policy:
    """The policy of this name; its options are the parameters of its class.

    Parameters
    ----------
    name
        ``"immediate"`` (`Immediate`), ``"off_peak"`` (`OffPeak`), ``"priority"`` (`Priority`), ``"load_aware"``
        (`LoadAware`), or ``"all"`` of the ``policies`` that are listed, each a mapping with its name and options.

    Raises
    ------
    PolicyError
        For an unknown name or option, or a value that is not understood.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
        raise PolicyError(f"a policy is a name, or an object such as OffPeak('22:00-08:00'), not {name!r}")
    if options is not None and not isinstance(options, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users
        raise PolicyError(f"the options of policy {name!r} must be a mapping such as {_EXAMPLE}, not {options!r}")
    if name not in _POLICIES:
        *others, last = map(repr, _POLICIES)
        raise PolicyError(f"no scheduling policy named {name!r}; there are {', '.join(others)} and {last}")
    make, known = _POLICIES[name]
    given = dict(options or {})
    unknown = [key for key in given if key not in known]
    if unknown:
        raise PolicyError(
            f"policy {name!r} has no option {', '.join(map(repr, unknown))}; "
            + (f"its options are {', '.join(known)}" if known else "it has none")
        )
    return make(**given)


def policy_from_dict(data: Mapping[str, object]) -> Policy:
    """The policy of which `Policy.to_dict` gave *data*.

    Raises
    ------
    PolicyError
        When it is of no kind that this release knows.
    """
    options = dict(data)
    return parse_policy(str(options.pop("name", "")), options)


def _all(policies: object = ()) -> All:
    if isinstance(policies, str | Mapping) or not isinstance(policies, Sequence):
        raise PolicyError(f"policies must be a list of mappings such as {{'name': 'off_peak'}}, not {policies!r}")
    for one in cast("Sequence[object]", policies):
        if not isinstance(one, Mapping) or "name" not in one:
            raise PolicyError(f"policies: {one!r} is no mapping with a 'name', such as {{'name': 'off_peak'}}")
    return All(policy_from_dict(one) for one in cast("Sequence[Mapping[str, object]]", policies))


_POLICIES: Final[dict[str, tuple[Callable[..., Policy], tuple[str, ...]]]] = {
    "immediate": (Immediate, ()),
    "off_peak": (cast("Callable[..., Any]", OffPeak), OPTIONS),
    "priority": (Priority, ("level", "qos")),
    "load_aware": (LoadAware, ("max_load", "max_pending", "hysteresis")),
    "all": (_all, ("policies",)),
}
