"""When work may start: windows of wall-clock time, and policies over them."""

from __future__ import annotations

from sciflow.scheduling.policy import Immediate, OffPeak, Opening, Policy, parse_policy

__all__ = ["Immediate", "OffPeak", "Opening", "Policy", "parse_policy"]
