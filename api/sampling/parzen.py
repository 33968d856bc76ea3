"""Optuna's Parzen estimator with its densities computed in whole arrays.

Optuna's own calls a Python function for each kernel's mass, twice, and so holds the interpreter's
lock; with 10,000 trials that is most of a proposal. Sampling stays Optuna's.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _BatchedDiscreteTruncLogNormDistributions,
    _BatchedDiscreteTruncNormDistributions,
    _BatchedTruncLogNormDistributions,
    _BatchedTruncNormDistributions,
    _unique_inverse_2d,
)
from scipy.special import log_ndtr, ndtr

from api.sampling.history import Floats

_LOG_SQRT_2PI = math.log(math.sqrt(2 * math.pi))
_Real = _BatchedTruncNormDistributions | _BatchedTruncLogNormDistributions
_Stepped = _BatchedDiscreteTruncNormDistributions | _BatchedDiscreteTruncLogNormDistributions


class Parzen(_ParzenEstimator):
    """Optuna's estimator; only `log_pdf` is another one, equal to rounding."""

    def log_pdf(self, samples_dict: dict[str, Floats]) -> Floats:
        """Return the logarithm of the mixture's density at the samples, [samples]."""
        mixture = self._mixture_distribution
        size = len(next(iter(samples_dict.values())))
        found = np.tile(np.log(mixture.weights), (size, 1))
        for name, kernels in zip(self._search_space, mixture.distributions, strict=True):
            x = samples_dict[name]
            if isinstance(kernels, _BatchedCategoricalDistributions):
                found += _categorical(x, kernels)
            elif kernels.step == 0.0:
                _add_real(found, x, cast("_Real", kernels))
            else:
                found += _stepped(x, cast("_Stepped", kernels))
        return _log_sum_exp(found)


def _categorical(x: Floats, kernels: _BatchedCategoricalDistributions) -> Floats:
    """Return log densities, [samples, kernels]."""
    chosen, where = np.unique(x.astype(np.intp), return_inverse=True)
    densities: Floats = np.log(kernels.weights[:, chosen].T)[where]
    return densities


def _add_real(found: Floats, x: Floats, kernels: _Real) -> None:
    """Add log densities of truncated normal kernels in place, [samples, kernels]."""
    low, high = kernels.adapted_low, kernels.adapted_high
    x = np.log(x) if kernels.is_log else x
    z = x[:, np.newaxis] - kernels.mu
    z /= kernels.sigma
    z *= z
    z *= 0.5
    found -= z
    found -= _mass(low, high, kernels.mu, kernels.sigma) + np.log(kernels.sigma) + _LOG_SQRT_2PI
    found[(x < low) | (x > high)] = -np.inf


def _stepped(x: Floats, kernels: _Stepped) -> Floats:
    """Return log masses of the samples' cells, [samples, kernels]."""
    half = kernels.step / 2
    values, where = np.unique(x, return_inverse=True)
    mu, sigma, which = _unique_inverse_2d(kernels.mu, kernels.sigma)
    left, right = (values - half)[:, np.newaxis], (values + half)[:, np.newaxis]
    if kernels.is_log:
        left, right = np.log(left), np.log(right)
    masses = _mass(left, right, mu, sigma)
    masses -= _mass(kernels.adapted_low, kernels.adapted_high, mu, sigma)
    found: Floats = masses[np.ix_(where, which)]
    return found


def _mass(low: Floats | float, high: Floats | float, mu: Floats, sigma: Floats) -> Floats:
    """Return the logarithms of normal masses between `low` and `high`, in the broadcast shape.

    As Optuna's `_log_gauss_mass`: where zero lies outside, from the tail that is nearer.
    """
    a, b = (low - mu) / sigma, (high - mu) / sigma
    left, right = b <= 0, a > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.log1p(-ndtr(a) - ndtr(-b))
    if left.any():
        found[left] = _tail(a[left], b[left])
    if right.any():
        found[right] = _tail(-b[right], -a[right])
    return found


def _tail(a: Floats, b: Floats) -> Floats:
    """Return the logarithm of the mass between `a` and `b`, both at most 0."""
    outer, inner = log_ndtr(a), log_ndtr(b)
    found: Floats = inner + np.log1p(-np.exp(outer - inner))
    return found


def _log_sum_exp(terms: Floats) -> Floats:
    """Return the logarithm of the sum over the last axis of `terms`, which is overwritten."""
    largest = terms.max(axis=1)
    largest[np.isneginf(largest)] = 0
    terms -= largest[:, np.newaxis]
    np.exp(terms, out=terms)
    with np.errstate(divide="ignore"):
        found: Floats = np.log(terms.sum(axis=1)) + largest
    return found
