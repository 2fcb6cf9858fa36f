"""Latent Gaussian models: a Gaussian graph whose variables are seen one by one through any likelihood."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model, callable_tree
from genkit.errors import UsageError
from genkit.smc.graphs.orders import check_order
from genkit.smc.graphs.sites import NODES, Sites, gaussian_ep, laplace, log_site
from genkit.smc.twisting import Quadratic
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array
POINTS = 2**17  # of a product rule, at most, for the exact value
LEAST = 16  # nodes a variable for it


@dataclass(frozen=True, eq=False)
class LatentGaussian:
    """p(x) prod_i p(y_i | x_i) / Z with x ~ N(mean, Q^-1), d variables; prepared on the host in float64."""

    precision: np.ndarray
    """(d, d), Q: symmetric, positive definite; refused if it is not."""
    log_lik: Callable[[Array, Any], Array]
    """(x (), y) -> (), log p(y_i | x_i) with all constants."""
    data: Any
    """y, leaves (d, ...)"""
    mean: Any = 0.0
    """(d,) or one number."""

    approximations: ClassVar[dict[str, Callable[..., Sites]]] = {"laplace": laplace, "ep": gaussian_ep}

    def __post_init__(self) -> None:
        """Check Q and the sizes."""
        q = np.asarray(self.precision, np.float64)
        if q.ndim != 2 or q.shape[0] != q.shape[1] or not np.isfinite(q).all() or not np.allclose(q, q.T):
            raise UsageError(f"precision has shape {q.shape}; expected a symmetric matrix (d, d) of finite numbers")
        try:
            np.linalg.cholesky(q)
        except np.linalg.LinAlgError:
            raise UsageError("precision is not positive definite; of a CAR model |rho| < 1 makes it so") from None
        for leaf in jax.tree.leaves(self.data):
            if np.shape(leaf)[:1] != q.shape[:1]:
                raise UsageError(f"data have a leaf of shape {np.shape(leaf)}; expected {len(q)} first, one a variable")
            _check_finite("data", leaf)
        _check_finite("mean", self.mean)
        object.__setattr__(self, "precision", q)
        object.__setattr__(self, "mean", np.broadcast_to(np.asarray(self.mean, np.float64), len(q)))

    def neighbours(self) -> list[set[int]]:
        """For each variable those that Q joins to it."""
        return [set(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(self.precision)]

    def likelihoods(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """log p(y_i | x_i) and its first two derivatives, each of the shape of x (..., d)."""

        with jax.enable_x64(True):
            found = _three(callable_tree(self.log_lik), np.reshape(x, (-1, len(self.precision))), self.data)
        value, slope, curve = (np.asarray(a, np.float64).reshape(np.shape(x)) for a in found)
        return value, slope, curve

    def gaussian(self, psi: Quadratic) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean (d,) and precision (d, d) of N(x; mean, Q^-1) prod_i t_i(x_i), normalised, and log of its integral."""
        q, m = self.precision, self.mean
        p, shift = q + np.diag(psi.precision), q @ m + psi.shift
        try:
            np.linalg.cholesky(p)
        except np.linalg.LinAlgError:
            raise UsageError("the sites take more precision than the prior has; expected a proper normal") from None
        mean = np.linalg.solve(p, shift)
        logs = np.linalg.slogdet(q)[1] - np.linalg.slogdet(p)[1] + mean @ shift - m @ q @ m
        return mean, p, float(0.5 * logs + np.sum(psi.const))

    def exact(self) -> float | None:
        """log Z by Gauss-Hermite quadrature about Laplace's approximation; None for more than a few variables."""
        d = len(self.precision)
        nodes = int(POINTS ** (1 / d))
        if nodes < LEAST:
            return None
        sites = laplace(self)
        mean, p, log_z = self.gaussian(sites.psi)
        z, w = np.polynomial.hermite_e.hermegauss(min(nodes, NODES))
        z, log_w = (np.array(list(itertools.product(a, repeat=d))) for a in (z, np.log(w / w.sum())))
        x = mean + np.linalg.solve(np.linalg.cholesky(p).T, z.T).T
        log = log_w.sum(1) + (self.likelihoods(x)[0] - log_site(sites.psi, x)).sum(1)
        return log_z + float(np.log(np.exp(log - log.max()).sum()) + log.max())

    def model(self, sites: Sites | None = None, order: Sequence[int] | None = None) -> Model:
        """Feynman-Kac model whose particles end as values x (n, d) of all variables; log_z is that of the posterior.

        Variables are drawn in their `order` from the normal of prior and sites given those before, and weighed by
        p(y_i | x_i) / t_i(x_i): the sites stand for the likelihoods of what is not drawn yet. With normal likelihoods
        and their own sites the estimate of Z is exact. None is plain SMC: draws from the prior. A draw needs the few
        variables before that elimination in the reverse order joins to it.
        """
        d = len(self.precision)
        place = check_order(order, d)
        psi = Quadratic(*np.zeros((3, d))) if sites is None else sites.psi
        mean, p, log_z = self.gaussian(psi)
        # p = L^T L in this order: row i of L (x - mean) ~ N(0, I) is the law of x_i given those before
        turned = p[np.ix_(place, place)][::-1, ::-1]
        row = np.linalg.cholesky(turned)[::-1, ::-1].T
        std = 1 / np.diag(row)
        weight = -np.tril(row, -1) * std[:, None]
        weight[np.abs(weight) < 1e-12 * np.abs(weight).max(initial=1.0)] = 0.0
        each = [np.flatnonzero(w) for w in weight]
        most = max(1, *(len(e) for e in each))
        padded = np.array([np.pad(e, (0, most - len(e))) for e in each])
        there = np.arange(most) < np.array([len(e) for e in each])[:, None]
        inputs = Variable(
            place,
            place[padded],
            np.where(there, np.take_along_axis(weight, padded, 1), 0.0),
            mean[place] - weight @ mean[place],
            std,
            jax.tree.map(lambda a: np.asarray(a)[place], self.data),
            jax.tree.map(lambda a: np.asarray(a)[place], psi),
        )
        return Model(Begin(d, log_z), ((Draw(callable_tree(self.log_lik)), inputs),))


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """No variable has a value yet; the weight is the integral of prior and sites."""

    variables: int = field(metadata={"static": True})
    log_z: Any

    def __call__(self, keys: Array) -> tuple[Array, Array]:
        """Particles (n, d) and their weights."""
        n = keys.shape[0]
        return jnp.zeros((n, self.variables), float), jnp.full(n, self.log_z, float)


@register_dataclass
@dataclass(frozen=True)
class Variable:
    """One variable given those before, and what is seen of it; leaves (d, ...) in a stage."""

    place: Any
    """() the variable"""
    before: Any
    """(D,) those on which it depends"""
    weight: Any
    """(D,) by how much; 0 beyond the last"""
    mean: Any
    """() where these are 0"""
    std: Any
    """()"""
    datum: Any
    psi: Quadratic
    """Its site, leaves ()"""


@register_dataclass
@dataclass(frozen=True)
class Draw(Kernel):
    """A value of one more variable, inputs are `Variable`."""

    log_lik: Any

    def move(self, keys: Array, p: Array, u: Variable) -> Array:
        """Draw it."""
        z = jax.vmap(lambda k: jax.random.normal(k, (), p.dtype))(written_out(keys))
        x = u.mean + p[:, u.before] @ u.weight.astype(p.dtype) + u.std * z
        return p.at[:, u.place].set(x.astype(p.dtype))

    def log_g(self, p: Array, p1: Array, u: Variable) -> Array:
        """Likelihood over site."""
        x = p1[:, u.place]
        return jax.vmap(lambda x: self.log_lik(x, u.datum))(x) - u.psi(x)


def _check_finite(name: str, a: Any) -> None:
    wrong = ~np.isfinite(np.asarray(a))
    if wrong.any():
        raise UsageError(
            f"{name} of variable {np.argwhere(np.atleast_1d(wrong))[0][0]} is not finite; expected numbers"
        )


@jax.jit
def _three(log_lik: Callable, x: Array, data: Any) -> tuple[Array, Array, Array]:
    """Value and two derivatives for x (n, d)."""

    def one(x: Array, y: Any) -> tuple[Array, Array, Array]:
        slope = jax.grad(log_lik)
        return log_lik(x, y), slope(x, y), jax.grad(slope)(x, y)

    return jax.vmap(jax.vmap(one), (0, None))(x, data)
