"""Ridge regression whose penalty is chosen by the errors of samples left out; pure.

It is here because none of our dependencies has it: SciPy does plain least squares, and scikit-learn is not one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PENALTIES: Final = np.logspace(-5, 3, 9)  # what is regressed has errors of about 0.003 to 30
_HUBER = 2.0  # an error counts in full up to this many times the usual


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """A fitted regression.

    Parameters
    ----------
    coefficients : of the columns as they were given
    level : what is predicted where all columns are 0
    left_out : for each sample the error of the model that does not know it
    error : their mean square
    residuals : for each sample its error, as large as errors are that the model does not follow
    """

    coefficients: Floats
    level: float
    left_out: Floats
    error: float
    residuals: Floats
    _centre: Floats
    _spectrum: Floats
    _axes: Floats

    def predict(self, columns: Floats) -> Floats:
        """The value of each row."""
        return self.level + columns @ self.coefficients

    def unsure(self, columns: Floats, error: float) -> Floats:
        """How unsure the prediction of each row is, apart from the level: independent parts, (n_rows, n_columns).

        By Bayes' rule, from what was expected of the coefficients and from samples with errors of this size.
        """
        return (columns - self._centre) @ (self._axes / np.sqrt(self._spectrum / max(error, 1e-9) ** 2 + 1.0))


def ridge(columns: Floats, values: Floats, weights: Floats, expected: Floats) -> Ridge:
    """Fit *values* to *columns*.

    Parameters
    ----------
    columns : (n, m), m may be larger than n
    values, weights : (n,)
    expected : (m,) how large each coefficient is expected to be; what is expected to be smaller is shrunk more
    """
    total = float(weights.sum())
    roots = np.sqrt(weights)
    scaled = columns * expected
    centre, middle = weights @ scaled / total, float(weights @ values) / total
    centred, wanted = (scaled - centre) * roots[:, None], (values - middle) * roots
    spectrum, axes = np.linalg.eigh(centred.T @ centred)
    spectrum = np.maximum(spectrum, 0.0)
    turned = centred @ axes
    shrunk = 1.0 / (spectrum[:, None] + _PENALTIES)
    along = turned.T @ wanted
    errors = wanted[:, None] - turned @ (along[:, None] * shrunk)
    # how far each sample pulls the model towards itself: what its error lacks when the model knows it
    free = 1.0 - np.minimum((turned * turned) @ shrunk + (weights / total)[:, None], 0.999)
    scores = ((errors / free) ** 2).sum(axis=0) / total
    best = int(np.argmin(scores))
    coefficients = expected * (axes @ (along * shrunk[:, best]))
    centre = weights @ columns / total
    return Ridge(
        coefficients=coefficients,
        level=middle - float(centre @ coefficients),
        left_out=errors[:, best] / free[:, best] / roots,
        error=float(scores[best]),
        residuals=errors[:, best] / np.sqrt(free[:, best]) / roots,
        _centre=centre,
        _spectrum=spectrum,
        _axes=expected[:, None] * axes,
    )


def robust_weights(columns: Floats, values: Floats, expected: Floats) -> Floats:
    """Weights after Huber, by which outliers count less: (n,).

    What is usual is the error that one in six exceeds: of a third of them, in the costs that are hard to tell, the
    median would say that they are outliers, and they may be the expensive ones.
    """
    weights = np.ones(len(values))
    for _ in range(2):
        errors = np.abs(ridge(columns, values, weights, expected).left_out)
        usual = float(np.quantile(errors, 0.84))
        if usual > 0:
            weights = np.minimum(1.0, _HUBER * usual / np.maximum(errors, usual * 1e-6))
    return weights
