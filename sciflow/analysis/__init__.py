"""Records to labelled arrays, optima, failures and figures."""

import lazy_loader

# `sciflow.plots` is this package's subpackage, and matplotlib is loaded when it is first used; the others have notes on
# methods that people ask ``help`` for
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules=["comparison", "convergence", "effects", "optimum", "pareto", "plots", "sensitivity", "summary"],
)
