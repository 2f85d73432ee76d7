"""When and how work may be done: windows of wall-clock time, and policies over them."""

from __future__ import annotations

from sciflow.scheduling.load import LoadAware
from sciflow.scheduling.offpeak import OffPeak
from sciflow.scheduling.opening import Conditions, Opening
from sciflow.scheduling.policy import All, Immediate, Policy
from sciflow.scheduling.priority import Priority
from sciflow.scheduling.slot import Slot, find_slot
from sciflow.scheduling.spec import parse_policy, policy_from_dict

__all__ = [
    "All",
    "Conditions",
    "Immediate",
    "LoadAware",
    "OffPeak",
    "Opening",
    "Policy",
    "Priority",
    "Slot",
    "find_slot",
    "parse_policy",
    "policy_from_dict",
]
