"""Parameter sweeps of multi-step computations that are never lost, mislabelled, or in the way of being extended.

Everything a user needs is an attribute of this package and is loaded when it is first used, so that
``import sciflow`` costs next to nothing; `sciflow/__init__.pyi` says where each name comes from.
"""

# the names come from the stub beside this file
# pyright: reportUnsupportedDunderAll=false

import lazy_loader

__version__ = "0.1.0"

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

__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
