"""A trained diffusion model of arrays of one shape: draws of it, and of its posterior given a measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import sample
from genkit.errors import UsageError
from genkit.kinds import Method, Noise, Operator, Sampler
from genkit.model.request import CHUNK, Piece, Request, arrays_in
from genkit.model.trained import Trained
from genkit.steer import DDSMC, Observation, observe, posterior, weighs
from genkit.tree import register_dataclass


@dataclass(frozen=True)
class Draw(Request):
    """Draw samples; with --operator and --observation, of the posterior given a measurement y = A x + noise."""

    sampler: Sampler | None = None
    """Another sampler than the model's own."""
    operator: Operator | None = None
    """A, what was measured."""
    observation: Path | None = None
    """File of y: .npy, or .npz with `y` and, where --std is not given, `std`; in the units of the training data."""
    std: float | None = None
    """Standard deviation of normal noise of y, 0 for none."""
    noise: Noise | None = None
    """Another law of the noise, such as poisson."""
    method: Method | None = None
    """What draws from the posterior; DDSMC if not given."""
    particles: int = 32
    """Particles of each sample of the posterior, of methods that weigh them."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        if (self.operator is None) != (self.observation is None):
            raise UsageError("a posterior needs both --operator NAME and --observation FILE")
        if self.operator is None and (self.method or self.noise or self.std is not None):
            raise UsageError(
                "--method, --std and --noise are for a posterior; give --operator NAME and --observation FILE too"
            )
        if self.noise is not None and self.std is not None:
            raise UsageError(f"--std {self.std:g} and --noise are two laws of the noise; give one of them")
        if self.operator is not None and self.sampler is not None:
            raise UsageError("a posterior is drawn by --method, which has steps of its own; leave --sampler out")
        if self.particles < 1:
            raise UsageError(f"particles={self.particles} is too few; expected at least 1")

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = CHUNK) -> Iterator[Piece]:
        """Pieces of `samples` (n, *shape).

        Those of a posterior have `chi2`, that of their residuals, and of weighted particles the `log_z` of the group of
        each sample: all estimate log p(y).
        """
        if self.operator is not None:
            yield self._posterior(model, key, n, chunk)
            return
        size, sampler = min(n, chunk), self.sampler or model.sampler
        for first in range(0, n, size):
            slots = jnp.arange(first, first + size)  # every chunk is the same program
            x = sample(key, sampler, model.denoiser, (size, *model.shape), slots=slots)
            yield {"samples": np.asarray(x)[: n - first]}

    def _posterior(self, model: Any, key: jax.Array, n: int, chunk: int) -> Piece:
        """Each sample from a group of particles of its own, so that they are independent."""
        method, given = self.method or DDSMC(), self.observed(model)
        particles = self.particles if weighs(method, model.denoiser) else 1
        groups = min(n, max(1, chunk // particles))
        draws = posterior(key, method, model.denoiser, given, n, particles, chunk=groups)
        found = {"samples": np.asarray(draws.x[:, 0])}
        with contextlib.suppress(UsageError):  # there is none
            found["chi2"] = np.asarray(given.chi2(draws.x[:, 0]))
        return found if np.isnan(draws.log_z).all() else found | {"log_z": np.asarray(draws.log_z)}

    def observed(self, model: Any) -> Observation:
        """The measurement in the file, of items of the model."""
        assert self.operator is not None and self.observation is not None
        operator = self.operator.build(model.shape)
        y, std = self.measured(model, operator, self.observation)
        law: Any = self.noise or (std if self.std is None else np.asarray(self.std))
        if law is None:
            raise UsageError(f"{self.observation} has no std of the noise; give --std, or --std 0 where there is none")
        try:
            return observe(operator, y, law)
        except UsageError as error:
            raise UsageError(f"{self.observation}: {error}") from None

    def measured(self, model: Any, operator: Any, file: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """y (m,) in the file, and the std of its noise where the file tells it."""
        return measured(file)


def measured(file: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """y and the deviation of its noise, () or one a number, where the file has it."""
    arrays = arrays_in(file)
    if "y" not in arrays:
        raise UsageError(f"{file} has {', '.join(arrays) or 'nothing'}; expected the measurement as y")
    y, std = arrays["y"], arrays.get("std")
    if y.dtype.kind not in "biufc" or (std is not None and std.dtype.kind not in "iuf"):
        raise UsageError(f"{file}: y is of {y.dtype}, std {std}; expected numbers, and one std or one for each of y")
    return y, std.reshape(()) if std is not None and std.size == 1 else std


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Diffusion(Trained):
    """A denoiser (x (n, *shape), t, cond) -> E[x0 | x_t] with the sampler that draws from it."""

    request: ClassVar[type[Request]] = Draw

    denoiser: Any
    shape: tuple[int, ...] = field(metadata={"static": True})
    """of one sample"""
    sampler: Any = field(metadata={"static": True})

    def check(self, data: Any) -> None:
        """Refuse data of another shape."""
        shape = tuple(getattr(data, "shape", self.shape))
        if shape != self.shape:
            raise UsageError(f"{self!r} is a model of arrays of shape {self.shape}; the data have {shape}")
