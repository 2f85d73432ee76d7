"""What made the results that count; the store says it."""

from sciflow.store.origins import Origin, origins_of

__all__ = ["Origin", "origins_of"]
