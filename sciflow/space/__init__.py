"""The algebra of parameter spaces: lazy, immutable, ordered sets of variants."""

from __future__ import annotations

from sciflow.space.algebra import Space
from sciflow.space.axis import Axis, Replicates
from sciflow.space.chosen import Sampled, Sliced
from sciflow.space.derived import Derived
from sciflow.space.design import Design, LatinHypercube, Random, Sobol
from sciflow.space.expression import Expression
from sciflow.space.filtered import Filtered
from sciflow.space.listed import Points, Zip
from sciflow.space.product import Grid, Product
from sciflow.space.ranges import Range
from sciflow.space.sets import Difference, Intersection, Union
from sciflow.space.spec import from_dict
from sciflow.space.table import Column, Table
from sciflow.space.variant import ABSENT, NO_DEFAULT, RESERVED_NAMES, Parameter, Variant, check_name

__all__ = [
    "ABSENT",
    "NO_DEFAULT",
    "RESERVED_NAMES",
    "Axis",
    "Column",
    "Derived",
    "Design",
    "Difference",
    "Expression",
    "Filtered",
    "Grid",
    "Intersection",
    "LatinHypercube",
    "Parameter",
    "Points",
    "Product",
    "Random",
    "Range",
    "Replicates",
    "Sampled",
    "Sliced",
    "Sobol",
    "Space",
    "Table",
    "Union",
    "Variant",
    "Zip",
    "check_name",
    "from_dict",
]
