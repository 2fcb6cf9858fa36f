"""The probability-flow ODE with steps of adaptive size (diffrax)."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.diffusion.denoiser import Denoiser, check_process, denoise, process_of
from genkit.diffusion.grids import check_levels, check_range
from genkit.diffusion.process import EDM, Process
from genkit.diffusion.samplers.table import Begin, Finish, Particle
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array
Solver = Literal["tsit5", "dopri5"]
MOST = 4096  # steps of adaptive size


def integrate(field: Any, solver: Solver, first: Array, last: Array, y0: Any, args: Any, rtol: Any, atol: Any) -> Any:
    """Solve dy/du = field(u, y, args) from u = `first` to `last` with a PID controller: y at the end.

    NaN where that was not reached in `MOST` steps, as there y would be that of another u. It is no exception, which a
    GPU or a TPU could not raise: who returns results outside jit looks for NaN.
    """
    import diffrax

    method = {"tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5}[solver]()
    control = diffrax.PIDController(rtol=rtol, atol=atol, pcoeff=0.3, icoeff=0.4)
    term = diffrax.ODETerm(field)
    found = diffrax.diffeqsolve(
        term, method, first, last, None, y0, args, stepsize_controller=control, max_steps=MOST, throw=False
    )
    arrived = diffrax.is_successful(found.result)
    return jax.tree.map(lambda y: jnp.where(arrived, y[0], jnp.nan), found.ys)


@register_dataclass
@dataclass(frozen=True)
class Integrate(Kernel):
    """The whole flow in one step, each item with its own step sizes."""

    denoiser: Denoiser
    cond: Any
    solver: Solver = field(metadata={"static": True})

    def move(self, keys: Array, p: Particle, u: Any) -> Particle:
        """Integrate d(x/alpha)/d log s = x/alpha - D, then denoise where it ends."""
        process, dtype = process_of(self.denoiser), p.x.dtype
        high, low, rtol, atol = jnp.asarray(u, dtype)

        def slope(log_s: Array, y: Array, cond: Any) -> Array:
            t = process.time(jnp.exp(log_s))
            one = None if cond is None else jax.tree.map(lambda c: c[None], cond)
            return y - denoise(self.denoiser, (process.alpha(t) * y)[None], t, one)[0]

        def whole(y: Array, cond: Any) -> Array:
            return integrate(slope, self.solver, jnp.log(high), jnp.log(low), y, cond, rtol, atol)

        t = process.time(low)
        y = jax.vmap(whole)(p.x / process.alpha(process.time(high)), self.cond)
        x = (process.alpha(t) * y).astype(dtype)
        return Particle(x, denoise(self.denoiser, x, t, self.cond))

    def where(self, p: Particle, u: Any) -> tuple[Array, Array, Any]:  # type: ignore[override]
        """x, the time of the lowest level, and the condition."""
        return p.x, process_of(self.denoiser).time(jnp.asarray(u)[1]), self.cond


@register_dataclass
@dataclass(frozen=True)
class FlowTable:
    """Levels and tolerances, as arguments of jitted code."""

    values: Any
    """(4,): highest and lowest level, relative and absolute tolerance"""
    solver: Solver = field(metadata={"static": True})
    process: Process = field(metadata={"static": True})
    final: bool = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...): one step, and the one to level zero."""
        check_process(denoiser, self.process, "the sampler's table")
        t = self.process.time(jnp.asarray(self.values)[0])
        begin = Begin(denoiser, cond, self.process.sigma(t), None, t, noise, shape, 0)
        stages = ((Integrate(denoiser, cond, self.solver), np.asarray(self.values)[None]),)
        return Model(begin, (*stages, (Finish(cond), np.zeros(1))) if self.final else stages)


@dataclass(frozen=True)
class Adaptive:
    """The probability-flow ODE by an embedded Runge-Kutta pair of order 5 with error control.

    Integrated in log s by diffrax; each sample has its own steps, so results do not depend on the rest of the batch.
    Song et al. 2021 (arXiv 2011.13456) use tolerances of 1e-5.
    """

    rtol: float = 1e-5
    """Relative tolerance."""
    atol: float = 1e-5
    """Absolute tolerance, in units of the data."""
    sigma_min: float = 0.002
    """Lowest level."""
    sigma_max: float = 80.0
    """Highest level."""
    solver: Solver = "tsit5"
    """Tsitouras 5(4) or Dormand-Prince 5(4)."""
    final: bool = True
    """End with the denoised value (the step to level zero); else with the state at sigma_min."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_range(self.sigma_min, self.sigma_max)
        if self.solver not in get_args(Solver):
            raise UsageError(f"unknown solver {self.solver!r}; known: {', '.join(get_args(Solver))}")
        if min(self.rtol, self.atol) <= 0:
            raise UsageError(f"tolerances rtol={self.rtol}, atol={self.atol} must be positive")

    def table(self, process: Process = EDM()) -> FlowTable:
        """Levels and tolerances, float64."""
        check_levels(process, self.sigma_min, self.sigma_max)
        values = np.array([self.sigma_max, self.sigma_min, self.rtol, self.atol])
        return FlowTable(values, self.solver, process, self.final)

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...), for `genkit.chain.run`."""
        return self.table(process_of(denoiser)).model(denoiser, shape, cond, noise)
