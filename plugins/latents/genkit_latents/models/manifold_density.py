"""The recipe of a density on a manifold, by flow matching or by a score."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Recipe
from genkit.nn import Net, NoisyMLP
from genkit.train import AdamW, Phase, TrainState, load, make_step
from genkit_latents.data import OnManifold
from genkit_latents.distributions import Uniform
from genkit_latents.flows import Field, FlowMatching, ManifoldModel, ScoreMatching
from genkit_latents.networks import Waves

METHODS = {"flow": FlowMatching(), "score": ScoreMatching()}


@dataclass(frozen=True, kw_only=True)
class ManifoldDensity(Recipe):
    """A tangent field on a compact manifold, whose ODE gives draws and exact densities.

    The score needs the heat kernel of the unit sphere, flow matching only geodesics (Chen and Lipman 2024, De Bortoli
    et al. 2022). Parameters are those with the best likelihood of validation points.
    """

    fixed: ClassVar[tuple[str, ...]] = ("method", "network", "steps")
    used: ClassVar[tuple[str, ...]] = ("ode_steps",)

    method: Literal["flow", "score"] = "flow"
    """What the field is trained to be: the velocity of geodesics, or a score."""
    network: Network[int] = field(default_factory=Waves)
    """The field (x (n, size), c (n,)) -> (n, size)."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3, weight_decay=0.1))
    """The optimiser."""
    steps: int = 10_000
    """Training steps."""
    batch: int = 512
    """Points in a step."""
    ode_steps: int = 100
    """Runge-Kutta steps of densities and samples."""
    looks: int = 10
    """Times that the likelihood of validation points is taken during a training."""

    @classmethod
    def preset(cls, name: str) -> ManifoldDensity:
        """Presets tiny (CI), default (minutes), and paper (5 layers of 512, 600 000 steps)."""
        if name == "tiny":
            return cls(steps=30, batch=32, ode_steps=4, looks=1, network=NoisyMLP(width=16, depth=1))
        if name == "paper":
            network, optimizer = NoisyMLP(width=512, depth=5), AdamW(lr=2e-4)
            return cls(steps=600_000, network=network, optimizer=optimizer, ode_steps=200, looks=100)
        return cls()

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name in ("steps", "batch", "ode_steps", "looks"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    def fit(self, run: Any, data: OnManifold, start: ManifoldModel | None = None) -> ManifoldModel:
        """Train the field. The phase has the name of the method."""
        rows, held = jnp.asarray(data.train), jnp.asarray(data.val)
        model = start or self._untrained(data.manifold)
        steps = self.steps if start is None else self.finetune
        rule = self.optimizer.build(steps)

        def of(params: Any) -> ManifoldModel:
            return replace(model, field=replace(model.field, params=params), steps=self.ode_steps)

        def loss(params: Any, aux: None, _: None, key: Any) -> Any:
            draw, noise = jax.random.split(key)
            x0 = rows[jax.random.randint(draw, (self.batch,), 0, rows.shape[0])]
            return model.method.loss(of(params).field, model.base, noise, x0).mean(), (aux, {})

        def init(key: Any) -> TrainState:
            return TrainState.create(model.field.net.init(key) if start is None else start.field.params, rule)

        def look(state: TrainState, _: int) -> dict[str, float]:
            return {"val/loss": -float(of(state.averaged).log_prob(held, max(self.ode_steps // 3, 1)).mean())}

        step = make_step(loss, rule, ema_half_life=steps / 50, clip=10.0)
        every = ((max(steps // self.looks, 1), look),)
        phase = Phase(self.method, init, step, data=None, steps=steps, every=every)
        run.fit(phase)
        return of(load(phase, run.folder).averaged)

    def _untrained(self, manifold: Any) -> ManifoldModel:
        net = Net(self.network, (manifold.size,))
        return ManifoldModel(Field(manifold, None, net), Uniform(manifold), METHODS[self.method], self.ode_steps)
