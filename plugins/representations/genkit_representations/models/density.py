"""A trained density of features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDMDenoiser, NetworkDenoiser
from genkit.errors import UsageError
from genkit.model import Trained
from genkit.tree import register_dataclass
from genkit_representations.density import (
    Preprocessing,
    calls,
    flow_log_prob,
    kernel_density,
    ratio,
    score_and_curvature,
)

CHUNK = 256  # features at a time, at most; all chunks are one program
AT_ONCE = 2048  # their derivatives: more of them leave the cache of a core


@dataclass(frozen=True)
class Integrator:
    """How a likelihood is computed."""

    solver: Literal["rk4", "heun", "tsit5", "dopri5"] = "rk4"
    """Equal steps in log noise for all, or steps of its own for each feature."""
    steps: int = 15
    """Of rk4 and heun; on normal data of 8 dimensions 15 of rk4 are right to .04 nats, 40 to .001."""
    tolerance: float = 1e-5
    """Of tsit5 and dopri5; 1e-5 published."""
    trace: Literal["exact", "rademacher", "gaussian"] = "exact"
    """The divergence: exact takes a derivative a dimension, the others are estimates."""
    probes: int = 1
    """Random vectors of an estimate."""

    @property
    def calls(self) -> int | None:
        """Network evaluations in one likelihood; None where steps adapt."""
        return calls(self.solver, self.steps)

    def chunk(self, d: int) -> int:
        """Features of d numbers at a time."""
        return max(8, min(CHUNK, AT_ONCE // (d if self.trace == "exact" else self.probes)))


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class FeatureDensity(Trained):
    """A diffusion model of features with what was fitted to them before."""

    denoiser: EDMDenoiser | NetworkDenoiser
    preprocessing: Preprocessing
    classifier: Any
    """weights (k, C) and bias (C,) of the classes that the network is given, of preprocessed features; or None"""
    integrator: Integrator = field(metadata={"static": True})

    def check(self, data: Any) -> None:
        """Refuse features of another dimension."""
        d = self.preprocessing.rotation.shape[0]
        if data.train.shape[1] != d:
            raise UsageError(f"{self!r} is a density of {d} features; the data have {data.train.shape[1]}")

    def logits(self, x: Any) -> np.ndarray:
        """Logits (n, C) of features (n, d) by its classifier."""
        if self.classifier is None:
            raise UsageError(f"{self!r} has no classifier; it was trained without classes")
        return np.asarray(self.preprocessing(np.asarray(x, np.float32)) @ self.classifier["w"] + self.classifier["b"])

    def log_prob(self, x: Any, space: Literal["model", "input"] = "model", seed: int = 0) -> np.ndarray:
        """Log density (n,) in nats of features (n, d): of what the network sees, or of the features themselves.

        `seed` is that of the probes of an estimated trace. Each value is of its row alone. Raises UsageError for the
        space `input` where principal components were dropped.
        """
        if space not in ("model", "input"):
            raise UsageError(f"space={space!r}; expected model or input")
        shift = self.preprocessing.log_det() if space == "input" else 0.0
        i, key = self.integrator, jax.random.key(seed)
        options = {"solver": i.solver, "steps": i.steps, "tolerance": i.tolerance, "trace": i.trace, "probes": i.probes}
        parts = []
        for z, cond, n in self._chunks(x, i.chunk(self.preprocessing.rotation.shape[1])):
            parts.append(np.asarray(flow_log_prob(key, z, self.denoiser, cond, **options).log_p)[:n])
        return np.concatenate(parts) + shift

    def curvature(self, x: Any, level: float = 0.5, probes: int = 1, seed: int = 0) -> np.ndarray:
        """SCOPED's statistic (n,) at a noise level: one pass and `probes` products with the Jacobian."""
        process: Any = self.denoiser.process
        t = jnp.float32(process.time(level))
        size = self.preprocessing.rotation.shape[1]
        vectors = jax.random.rademacher(jax.random.key(seed), (probes, size), jnp.float32)
        found = [
            [np.asarray(part)[:n] for part in _curvature(self.denoiser, z * process.alpha(t), t, vectors, cond)]
            for z, cond, n in self._chunks(x, CHUNK)
        ]
        square, trace = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return ratio(square, trace)

    def scoped(self, x: Any, train: Any, level: float = 0.5, probes: int = 1) -> np.ndarray:
        """Scores (n,): log density of the statistic among its values on training features."""
        return kernel_density(self.curvature(train, level, probes))(self.curvature(x, level, probes))

    def _chunks(self, x: Any, size: int) -> list[tuple[Any, Any, int]]:
        """Preprocessed features, their classes, and how many are no padding."""
        x = np.asarray(x, np.float32)
        pieces = []
        for first in range(0, len(x), size):
            part = x[first : first + size]
            n = len(part)
            part = np.concatenate([part, np.repeat(part[-1:], size - n, 0)])
            cond = None if self.classifier is None else classes_of(self.logits(part))
            pieces.append((jnp.asarray(self.preprocessing(part)), cond, n))
        return pieces


def classes_of(logits: np.ndarray) -> Any:
    """What a conditional network is given: 1 + the most probable class, as a number."""
    return jnp.asarray(1 + logits.argmax(1), jnp.float32)


@jax.jit
def _curvature(denoiser: Any, x: Any, t: Any, vectors: Any, cond: Any) -> Any:
    return score_and_curvature(denoiser, x, t, vectors, cond)
