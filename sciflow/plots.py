"""`sciflow.plots` by ``import``: the same module as `sciflow.analysis.plots`, which the attribute is."""

import sys

from sciflow.analysis import plots
from sciflow.analysis.plots import *  # noqa: F403  for type checkers; whoever imports this gets the module below

sys.modules[__name__] = plots
