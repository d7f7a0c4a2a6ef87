"""A Gaussian process: what an outcome will be at other points, by the points where it is known.

Points that are alike have outcomes that are alike, to a degree that each setting has for itself
(Matern 5/2 with a length for each, as in Snoek, Larochelle and Adams, Practical Bayesian
optimization of machine learning algorithms, NeurIPS 2012). What schedulers do is rough besides: a
second such part (Matern 3/2) has lengths of its own. Lengths, and the shares of what is rough and
of noise, are those under which what is known was most to be expected. They are drawn towards usual
ones, since few trials say little of them.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from search.discrepancy import Floats, Prediction

USUAL_LENGTH = 0.5
USUAL_SHORT = 0.15
USUAL_SHARES = (0.1, 1e-3)
"""What is assumed of lengths, as shares of a setting's range, and of the two shares."""
LENGTH_DOUBT = 1.0
NO_MATTER_DOUBT = 3.0
SHARE_DOUBTS = (2.0, 3.0)
"""Standard deviations of their logarithms; lengths are often far greater, as settings that do not
matter have them."""
LEAST_SHARE = 1e-6
MOST_SHARE = 2.0
JITTER = 1e-6
MOST_ITERATIONS = 25
_ROOT5 = np.sqrt(5.0)
_ROOT3 = np.sqrt(3.0)


@dataclass(frozen=True)
class Likeness:
    """How alike outcomes are: the `lengths` by setting, and the shares of what is rough, and noise.

    What is rough hangs on settings over lengths of its own, the `short` ones; noise hangs on none.
    """

    lengths: Floats
    short: Floats
    rough: float
    noise: float

    @classmethod
    def learnt(cls, columns: Floats, values: Floats) -> Self:
        """Return that under which the `values`, of mean 0 and spread 1, were most to be expected.

        `columns` has the settings as columns, one row for each value.
        """
        # Takes long to import, and other samplers need none of it.
        from scipy.optimize import minimize

        settings = columns.shape[1]
        apart = (columns.T[:, :, None] - columns.T[:, None, :]) ** 2
        lengths = np.repeat([USUAL_LENGTH, USUAL_SHORT], settings) * np.sqrt(settings)
        usual = np.log([*lengths, *USUAL_SHARES])
        found = minimize(
            _surprise,
            usual,
            args=(apart, values, usual),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-4.0, 5.0)] * (2 * settings) + [(np.log(LEAST_SHARE), np.log(MOST_SHARE))] * 2,
            options={"maxiter": MOST_ITERATIONS},
        ).x
        rough, noise = np.exp(found[-2:]).tolist()
        return cls(np.exp(found[:settings]), np.exp(found[settings:-2]), rough, noise)

    @property
    def whole(self) -> float:
        """How alike a point is to itself, noise apart."""
        return 1 + self.rough

    def between(self, some: Floats, others: Floats) -> Floats:
        """Return how alike outcomes are at some points and others, from 0 to `whole`."""
        smooth = _ROOT5 * _apart(some / self.lengths, others / self.lengths)
        rough = _ROOT3 * _apart(some / self.short, others / self.short)
        found: Floats = (1 + smooth + smooth**2 / 3) * np.exp(-smooth)
        found += self.rough * (1 + rough) * np.exp(-rough)
        return found


def _apart(some: Floats, others: Floats) -> Floats:
    squared = (some**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * some @ others.T
    found: Floats = np.sqrt(np.maximum(squared, 0))
    return found


class GaussianProcess:
    """Foretells one outcome by its `values`, known at the points that `columns` has as rows."""

    def __init__(self, columns: Floats, values: Floats, likeness: Likeness) -> None:
        self._columns = columns
        self._likeness = likeness
        self._mean = float(values.mean())
        among = likeness.between(columns, columns) + (likeness.noise + JITTER) * np.eye(len(values))
        self._inverse = np.linalg.inv(among)
        centred = values - self._mean
        self._weights = self._inverse @ centred
        self._variance = max(float(centred @ self._weights) / len(values), 1e-12)

    def foretell(self, columns: Floats) -> Prediction:
        """Return the outcome at other points; its spread has the noise in it."""
        near = self._likeness.between(columns, self._columns)
        known = ((near @ self._inverse) * near).sum(1)
        left = np.maximum(self._likeness.whole - known, 0) + self._likeness.noise
        return Prediction(self._mean + near @ self._weights, np.sqrt(self._variance * left))


class Scale:
    """The scale of a metric: where a value stands among the `values` that the metric has had.

    Each has the score that it would have were they normally distributed. So the best ones are told
    apart however close they are, which other scales lose beside a value that is far off.
    """

    def __init__(self, values: Floats) -> None:
        # Takes long to import, and other samplers need none of it.
        from scipy.special import ndtri

        self._known, counts = np.unique(values, return_counts=True)
        self._scores = ndtri((np.cumsum(counts) - counts / 2) / max(len(values), 1))

    def of(self, values: Floats) -> Floats:
        """Return values of the metric on the scale; it ends where those that it has had end."""
        if not len(self._known):
            return np.zeros(len(values))
        found: Floats = np.interp(values, self._known, self._scores)
        return found


def _surprise(logs: Floats, apart: Floats, values: Floats, usual: Floats) -> tuple[float, Floats]:
    """Return how little the values were to be expected, up to a constant, and its gradient."""
    settings = (len(logs) - 2) // 2
    long = np.exp(-2 * logs[:settings])
    short = np.exp(-2 * logs[settings:-2])
    share, noise = np.exp(logs[-2:])
    smooth = _ROOT5 * np.sqrt(np.tensordot(long, apart, 1))
    smooth_decay = np.exp(-smooth)
    rough = _ROOT3 * np.sqrt(np.tensordot(short, apart, 1))
    rough_decay = share * np.exp(-rough)
    jagged = (1 + rough) * rough_decay
    among = (1 + smooth + smooth**2 / 3) * smooth_decay + jagged
    among += (noise + JITTER) * np.eye(len(values))
    inverse = np.linalg.inv(among)
    solved = inverse @ values
    # Rounding may leave less than nothing of values that are nearly the same.
    variance = max(float(values @ solved) / len(values), 0.0) + 1e-12
    sized = np.linalg.slogdet(among)[1]
    doubts = np.where(logs > usual, NO_MATTER_DOUBT, LENGTH_DOUBT)
    doubts[-2:] = SHARE_DOUBTS
    off = (logs - usual) / doubts
    pull = 0.5 * (inverse - np.outer(solved, solved) / variance)
    flat = apart.reshape(settings, -1)
    slopes = [
        *(long * (flat @ (pull * (5 / 3) * (1 + smooth) * smooth_decay).ravel())),
        *(short * (flat @ (pull * 3 * rough_decay).ravel())),
        float((pull * jagged).sum()),
        noise * float(np.trace(pull)),
    ]
    surprise = 0.5 * len(values) * np.log(variance) + 0.5 * sized + 0.5 * float(off @ off)
    return float(surprise), np.array(slopes) + off / doubts
