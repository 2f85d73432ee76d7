from . import adaptive as adaptive
from .analysis import plots as plots
from .analysis.results import Results as Results
from .analysis.results import open_results as open_results
from .canonical import Named as Named
from .clusters.batch import PBSCluster as PBSCluster
from .clusters.batch import SlurmCluster as SlurmCluster
from .clusters.local import LocalCluster as LocalCluster
from .engine.engine import Engine as Engine
from .engine.handle import SweepHandle as SweepHandle
from .engine.handle import attach as attach
from .errors import SciflowError as SciflowError
from .packaging.create import Package as Package
from .packaging.create import create_reproducibility_package as create_reproducibility_package
from .packaging.opened import open_package as open_package
from .packaging.reproduce import reproduce_package as reproduce_package
from .packaging.reproduction import ReproductionReport as ReproductionReport
from .packaging.verify import VerificationReport as VerificationReport
from .packaging.verify import verify_package as verify_package
from .running.context import TaskContext as TaskContext
from .running.shell import shell as shell
from .scheduling import Immediate as Immediate
from .scheduling import LoadAware as LoadAware
from .scheduling import OffPeak as OffPeak
from .scheduling import Priority as Priority
from .space import Axis as Axis
from .space import Grid as Grid
from .space import LatinHypercube as LatinHypercube
from .space import Points as Points
from .space import Random as Random
from .space import Range as Range
from .space import Replicates as Replicates
from .space import Sobol as Sobol
from .space import Variant as Variant
from .space import Zip as Zip
from .workflow.binding import SKIP as SKIP
from .workflow.retry import Retry as Retry
from .workflow.stop import StopAfter as StopAfter
from .workflow.workflow import ExperimentalWorkflow as ExperimentalWorkflow

__version__: str
__all__ = [  # noqa: RUF022  as sorted() sorts, which a test compares
    "Axis",
    "Engine",
    "ExperimentalWorkflow",
    "Grid",
    "Immediate",
    "LatinHypercube",
    "LoadAware",
    "LocalCluster",
    "Named",
    "OffPeak",
    "PBSCluster",
    "Package",
    "Points",
    "Priority",
    "Random",
    "Range",
    "Replicates",
    "ReproductionReport",
    "Results",
    "Retry",
    "SKIP",
    "SciflowError",
    "SlurmCluster",
    "Sobol",
    "StopAfter",
    "SweepHandle",
    "TaskContext",
    "Variant",
    "VerificationReport",
    "Zip",
    "adaptive",
    "attach",
    "create_reproducibility_package",
    "open_package",
    "open_results",
    "plots",
    "reproduce_package",
    "shell",
    "verify_package",
]
