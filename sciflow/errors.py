"""What can go wrong, as types: each derives from :class:`SciflowError` and from the built-in a caller expects."""

from __future__ import annotations


class SciflowError(Exception):
    """Base of every error that sciflow raises on purpose; its text says what to do."""


class SpaceError(SciflowError, ValueError):
    """A parameter space, design or parameter value has no meaning as given."""


class PredicateError(SpaceError):
    """A filter or derivation is not understood, names an unknown parameter, or failed on a variant."""


class WorkflowError(SciflowError, ValueError):
    """Tasks, requirements, criteria or figures do not fit together."""


class CycleError(WorkflowError):
    """Tasks depend on each other in a circle; the text draws the circle as a path."""


class BindingError(WorkflowError):
    """An argument of a task is provided by nothing, or by more than one source."""


class OutputError(WorkflowError, TypeError):
    """A task returned something that cannot be recorded, or two tasks record one name."""


class CommandError(SciflowError, RuntimeError):
    """A command that is a task could not be started, or ended with an exit status that is not ok.

    Attributes
    ----------
    reason : str
        What happened, the same for all runs to which it happened: ``"exit status 3"``, ``"killed by SIGSEGV"``.
    status : int or None
        The exit status, -n when signal n killed it, None when it did not start.
    details : str
        The command line, the log and the last lines of what it printed.
    """

    def __init__(self, reason: str, status: int | None, details: str) -> None:
        super().__init__(reason, status, details)  # args travel through pickle
        self.reason, self.status, self.details = reason, status, details

    def __str__(self) -> str:
        return f"{self.reason}\n{self.details}"


class QuantityError(SciflowError, ValueError):
    """A duration or byte size is not understood."""


class PolicyError(SciflowError, ValueError):
    """A scheduling policy or its hours are not understood, or what is to run fits none of its windows."""


class UnmetRequirementError(SciflowError, RuntimeError):
    """A task asks for what this machine lacks, and ``on_unmet="error"`` was chosen."""


class MetadataError(SciflowError, RuntimeError):
    """What the workflow requires to be known of a sweep is not known, and nothing was run."""


class EnvironmentMismatchError(SciflowError, RuntimeError):
    """A worker has another environment than the driver, and ``on_environment_mismatch="error"`` was chosen."""


class StoreError(SciflowError):
    """The sweep directory cannot be used; what was committed stays."""


class FormatError(StoreError, ValueError):
    """A file of the sweep directory is not ours, or was written by a newer release."""


class SweepMismatchError(StoreError, ValueError):
    """The directory belongs to another workflow, or a frozen default or a close value contradicts it."""


class StoreWriteError(StoreError, OSError):
    """A write failed (full or read-only disk); the path is in the text, commits before it are safe."""


class SweepBusyError(StoreError, RuntimeError):
    """Another driver owns the sweep."""

    def __init__(self, directory: str, host: str, pid: int, since: str) -> None:
        super().__init__(directory, host, pid, since)  # args travel through pickle
        self.directory, self.host, self.pid, self.since = directory, host, pid, since

    def __str__(self) -> str:
        return (
            f"another driver works on {self.directory}: host {self.host}, pid {self.pid}, since {self.since}; "
            "wait for it, or stop it there and start again"
        )


class SubmittedError(SweepBusyError):
    """A detached controller has the sweep in hand, or waits for its turn."""

    def __init__(self, directory: str, host: str, since: str, what: str) -> None:
        super().__init__(directory, host, 0, since)
        self.args = directory, host, since, what
        self.what = what

    def __str__(self) -> str:
        host = f" from host {self.host}" if self.host else ""
        return (
            f"{self.directory} was submitted{host} at {self.since}, and {self.what} has it in hand; wait for it "
            f"(sciflow wait {self.directory}), or stop it (sciflow cancel {self.directory}) and submit again"
        )


class LeaseLostError(StoreError, RuntimeError):
    """Another driver took the sweep over while this one was away; this one stops."""


class StaleError(SciflowError, RuntimeError):
    """Results on disk were made by other code, and nobody said whether to keep or re-run them."""


class SweepError(SciflowError, RuntimeError):
    """The sweep as a whole could not run."""


class SiteError(SciflowError, ValueError):
    """What was written of a site is not understood, or there is no batch system here."""


class BatchError(SciflowError, RuntimeError):
    """A batch system refused what was asked of it; the text has its own words."""


class BatchLimitError(BatchError):
    """A batch system takes no more jobs of this user until some have ended."""


class BatchUnreachableError(BatchError):
    """A batch system cannot be reached, which says nothing about any job."""


class UpstreamError(SciflowError, RuntimeError):
    """What a task needs of other tasks is not there, because they failed or have not run."""


class ResultsError(SciflowError, LookupError):
    """The dataset has no such metric, variant, figure or value."""


class PackageError(SciflowError, ValueError):
    """A package cannot be written as asked."""
