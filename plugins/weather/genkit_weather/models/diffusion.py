"""The recipe of Diffusion-LAM: draw one step at a time from noise (Larsson et al. 2025, arXiv 2502.07532)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from genkit.diffusion import EDMDenoiser, Heun, Rho
from genkit.errors import UsageError
from genkit.kinds import Network, Sampler
from genkit.nn import UNet, activation_bytes, parameter_count
from genkit.train import AdamW
from genkit_weather.data import WeatherData
from genkit_weather.lam import (
    Augmentation,
    Batch,
    Domain,
    Examples,
    Forecaster,
    Formulation,
    MeanModel,
    diffusion_loss,
    domain_of,
    mean_error,
    mean_loss,
)
from genkit_weather.models.recipe import MEPS_WEIGHTS, WeatherRecipe, graph_of, net_of, planned_graph
from genkit_weather.models.trained import WeatherModel
from genkit_weather.networks import Conditioning, LamUNet, Sizes


@dataclass(frozen=True, kw_only=True)
class Diffusion(WeatherRecipe):
    """Conditional diffusion of the next state given the last two, the forcing and the boundary."""

    fixed: ClassVar[tuple[str, ...]] = ("formulation", "network", "log", "two_stage", "sigma_data", "steps")
    used: ClassVar[tuple[str, ...]] = ("sampler",)

    network: Network[Sizes] = field(default_factory=LamUNet)
    """The denoising network."""
    two_stage: bool = False
    """Train a network for the mean first, then diffuse what it leaves (CorrDiff, arXiv 2309.15214)."""
    sigma_data: tuple[float, ...] = (0.3,)
    """Conditional standard deviation of the target, in units of the first guess' error: one number or one per
    variable. 1 belongs to the published recipe; with a small budget its samples spread too widely."""
    noise: Rho = field(default_factory=Rho)
    """Noise levels in training."""
    steps: int = 1200
    """Training steps of each stage."""
    sampler: Sampler = field(default_factory=Heun)
    """The sampler of each step."""

    @classmethod
    def preset(cls, name: str) -> Diffusion:
        """Presets tiny (CI), default (minutes on two cores), paper (the published MEPS configuration)."""
        if name == "tiny":
            return cls(network=LamUNet.preset("tiny"), steps=60, sampler=Heun(steps=10))
        if name == "paper":
            return cls(
                network=LamUNet.preset("paper"), formulation=Formulation.preset("paper"), sigma_data=(1.0,),
                augmentation=Augmentation(), weights=MEPS_WEIGHTS, batch=96, accumulate=8,
                optimizer=AdamW(lr=1e-3, weight_decay=0.01, b1=0.9, b2=0.95, schedule="constant"), ema=None, clip=None,
                steps=100_000, validate=1000,
            )  # fmt: skip
        return cls()

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.steps < 1:
            raise UsageError(f"steps={self.steps} is too few; expected at least 1")
        if not self.sigma_data or min(self.sigma_data) <= 0:
            raise UsageError(f"sigma_data={self.sigma_data} must be positive: one number, or one per variable")

    def fit(self, run: Any, data: WeatherData, start: WeatherModel | None = None) -> WeatherModel:
        """Train the network of the mean, where there are two stages, and the denoiser."""
        if len(self.sigma_data) not in (1, len(data.names)):
            raise UsageError(f"sigma_data has {len(self.sigma_data)} values for {len(data.names)} variables")
        data = self.seen(data, start)
        if start is None:
            domain = replace(self.domain(data), graph=graph_of(self.network, data))
            mean = self._fit_mean(run, data, domain) if self.two_stage else None
            net = net_of(self.network, self.sizes_of(data.layout, len(data.names) if mean else 0), domain.graph)
            # what the mean leaves is scaled to unit variance already
            denoiser = EDMDenoiser(net, None, jnp.ones(1) if mean else jnp.array(self.sigma_data))
            forecaster, params = Forecaster(denoiser, domain, mean), net.init(run.key("denoiser parameters"))
            steps = self.steps
        else:
            forecaster = jax.tree.map(jnp.asarray, start.forecaster)
            params, steps = forecaster.denoiser.params, self.finetune
        denoiser: Any = forecaster.denoiser
        domain = forecaster.domain
        weigh = self.weigher(data, domain)

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            value = diffusion_loss(
                key,
                domain,
                replace(denoiser, params=params),
                batch,
                self.noise,
                weight=weigh(batch),
                mean=aux,
                augmentation=self.augmentation if training else Augmentation(),
                dropout=training,
            )
            return value, (aux, {})

        trained = self._learn(run, "denoiser", data, domain, loss, params, steps, forecaster.mean)
        forecaster = replace(forecaster, denoiser=replace(denoiser, params=trained))
        return self.trained(forecaster, data, start, self.sampler)

    def _fit_mean(self, run: Any, data: WeatherData, domain: Domain) -> MeanModel:
        """The first of two stages."""
        weigh, net = self.weigher(data, domain), net_of(self.network, self.sizes_of(data.layout), domain.graph)
        model = MeanModel(net, net.init(run.key("mean parameters")), jnp.ones(len(data.names)))

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            value = mean_loss(
                key,
                domain,
                replace(model, params=params),
                batch,
                weight=weigh(batch),
                augmentation=self.augmentation if training else Augmentation(),
                dropout=training,
            )
            return value, (aux, {})

        params = self._learn(run, "mean", data, domain, loss, model.params, self.steps)
        model = replace(model, params=params)
        errors = [jax.jit(mean_error)(domain, model, batch) for batch in self.known(Examples(data.val, domain))]
        return replace(model, scale=jnp.sqrt(jnp.stack(errors).mean(0)))

    # for subclasses

    def domain(self, data: WeatherData) -> Domain:
        """Statistics and fixed fields, with the times that the model is trained for."""
        return domain_of(data, self.formulation)

    def sizes_of(self, layout: Any, extra: int = 0) -> Sizes:
        """Sizes of the network; `extra` further interior channels."""
        return self.formulation.sizes(layout, extra)

    def weigher(self, data: WeatherData, domain: Domain) -> Callable[[Batch], jax.Array]:
        """Weights (V,), (h, w, V) or (n, h, w, V) of the entries of a batch: of variables, and of cells."""
        weight, cells = self.loss_weights(data), data.interior_weights
        weight = weight if cells is None else weight * cells
        return lambda batch: weight

    # pieces

    def _learn(
        self,
        run: Any,
        name: str,
        data: WeatherData,
        domain: Domain,
        loss: Any,
        params: Any,
        steps: int,
        aux: Any = None,
    ) -> Any:
        examples, known = Examples(data.train, domain), self.known(Examples(data.val, domain))
        return self.learn(run, name, loss, params, examples, known, steps, self.optimizer.build(steps), aux)

    def plan(self, layout: Any, particles: int) -> dict[str, str]:
        """Sizes, parameters and memory; the network is built of shapes only."""
        sizes = self.sizes_of(layout)
        graph = planned_graph(self.network, layout)
        network = net_of(self.network, sizes, graph)
        params = network.shapes()
        inner = [size - 2 * f for size, f in zip(layout.grid, layout.frame, strict=True)]
        cells = layout.grid[0] * layout.grid[1] - inner[0] * inner[1]

        def shaped(*shape: int) -> Any:
            return jax.ShapeDtypeStruct(shape, jnp.float32)

        cond = Conditioning(
            *(shaped(1, *inner, sizes.interior), shaped(1, cells, sizes.boundary), shaped(1, sizes.scalars)),
            lead=shaped(1) if sizes.lead else None,
            graph=graph,
        )
        x = shaped(1, *inner, layout.variables)
        plan = {
            **super().plan(layout, particles),
            "parameters": f"{parameter_count(params):,}",
            "output": str(jax.eval_shape(network, params, x, shaped(1), cond).shape[1:]),
        }
        state = 4 * parameter_count(params) * (5 if self.ema else 4)  # parameters, gradient, two moments, average
        if isinstance(self.network, UNet):
            devices = jax.device_count()  # they share examples, and the rows of those that are fewer
            step = activation_bytes(self.network, layout.grid, training=True) * self.batch / self.accumulate / devices
            sampling = activation_bytes(self.network, layout.grid) * particles / devices
            plan["memory"] = (
                f"about {_size(state + step)} in training ({self.batch // self.accumulate} examples at once), "
                f"{_size(state / 5 + sampling)} in sampling"
            ) + (f", on each of {devices} devices" if devices > 1 else "")
        return plan


def _size(count: float) -> str:
    """Bytes as they are read."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.3g} MB"
