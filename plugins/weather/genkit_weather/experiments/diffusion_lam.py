"""`weather.diffusion_lam`: ensembles of a limited area by conditional diffusion (Larsson et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.diffusion import EDMDenoiser, Heun, Rho
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.kinds import Network, Sampler
from genkit.nn import UNet, abstract, activation_bytes, functional, parameter_count
from genkit.train import AdamW
from genkit_weather.data import Layout
from genkit_weather.experiments.learned import MEPS_WEIGHTS, LearnedForecast
from genkit_weather.lam import (
    Augmentation,
    Batch,
    Examples,
    Forecaster,
    Formulation,
    MeanModel,
    Sampled,
    diffusion_loss,
    mean_error,
    mean_loss,
)
from genkit_weather.networks.unet import Conditioning, LamUNet


@dataclass(frozen=True)
class DiffusionLAM(LearnedForecast):
    """Ensemble forecasts of a limited area by conditional diffusion.

    One step is drawn at a time, from noise, given the last two states of the interior, the forcing, and the
    boundary frame now, before and one step ahead; forecasts of any length are made by feeding samples back
    (Diffusion-LAM, Larsson et al. 2025, arXiv 2502.07532).
    """

    network: Network = field(default_factory=LamUNet)
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
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (the published MEPS configuration)."""
        from genkit_weather.datasets.meps_npy import MEPS
        from genkit_weather.datasets.qg_nature import QGNature

        if name == "default":
            return cls()
        if name == "tiny":
            return cls(
                data=QGNature.preset("tiny"),
                network=LamUNet.preset("tiny"),
                starts=4,
                leads=4,
                members=4,
                long_leads=0,
                steps=150,
                sampler=Heun(steps=10),
                baselines=("climatology", "persistence", "harmonic", "ar2"),
            )
        if name == "paper":
            return cls(
                data=MEPS.preset("paper"), network=LamUNet.preset("paper"), formulation=Formulation.preset("paper"),
                sigma_data=(1.0,),
                augmentation=Augmentation(), weights=MEPS_WEIGHTS, leads=19, long_leads=0, members=25, chunk=25,
                batch=96, accumulate=8,
                optimizer=AdamW(lr=1e-3, weight_decay=0.01, b1=0.9, b2=0.95, schedule="constant"), ema=None, clip=None,
                steps=100_000, validate=1000, baselines=("climatology", "persistence", "harmonic", "ar2"),
                baseline_members=10,
            )  # fmt: skip
        raise UsageError(f"weather.diffusion_lam has no preset {name!r}; it has tiny, default and paper")

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.steps < 1:
            raise UsageError(f"steps={self.steps} is too few; expected at least 1")
        if not self.sigma_data or min(self.sigma_data) <= 0:
            raise UsageError(f"sigma_data={self.sigma_data} must be positive: one number, or one per variable")

    # stages

    def denoiser(self, run: Run) -> Any:
        """The trained denoiser of the residual target; its `cond` is `genkit_weather.lam.condition(...)`."""
        return self.forecaster(run).denoiser

    def forecaster(self, run: Run) -> Forecaster:
        """The trained model with the statistics of its domain."""
        return run.once("forecaster", lambda: self._trained(run))

    def stepper(self, run: Run) -> Sampled:
        """The trained model with its sampler."""
        return Sampled.by(self.sampler, self.forecaster(run))

    # training

    def _trained(self, run: Run) -> Forecaster:
        data, domain = self.weather(run), self.domain(run)
        if len(self.sigma_data) not in (1, len(data.names)):
            raise UsageError(f"sigma_data has {len(self.sigma_data)} values for {len(data.names)} variables")
        weight = self.loss_weights(run)
        mean = self._trained_mean(run, weight) if self.two_stage else None
        network, params = self._network(run, "denoiser", extra=len(data.names) if mean else 0)
        # what the mean leaves is scaled to unit variance already
        sigma_data = jnp.ones(1) if mean else jnp.array(self.sigma_data)

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            value = diffusion_loss(
                key,
                domain,
                EDMDenoiser(network, params, sigma_data),
                batch,
                self.noise,
                weight=weight,
                mean=aux,
                augmentation=self.augmentation if training else Augmentation(),
                dropout=training,
            )
            return value, (aux, {})

        trained = self._fit(run, "denoiser", loss, params, mean)
        return Forecaster(EDMDenoiser(network, trained, sigma_data), domain, mean)

    def _trained_mean(self, run: Run, weight: Any) -> MeanModel:
        """The first of two stages."""
        domain = self.domain(run)
        network, params = self._network(run, "mean")
        ones = jnp.ones(len(weight))

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            value = mean_loss(
                key,
                domain,
                MeanModel(network, params, ones),
                batch,
                weight=weight,
                augmentation=self.augmentation if training else Augmentation(),
                dropout=training,
            )
            return value, (aux, {})

        model = MeanModel(network, self._fit(run, "mean", loss, params), ones)
        errors = [jax.jit(mean_error)(domain, model, batch) for batch in self._known(run)]
        return replace(model, scale=jnp.sqrt(jnp.stack(errors).mean(0)))

    def _network(self, run: Run, name: str, extra: int = 0) -> tuple[Any, Any]:
        """The network as a function, and its first parameters."""
        rngs = nnx.Rngs(run.key(f"{name} parameters"))
        return functional(self.network.build(rngs, self.formulation.sizes(self.weather(run).layout, extra)))

    def _known(self, run: Run) -> list[Batch]:
        return self.known(run, Examples(self.weather(run).val, self.domain(run)))

    def _fit(self, run: Run, name: str, loss: Any, params: Any, aux: Any = None) -> Any:
        examples, optimizer = Examples(self.weather(run).train, self.domain(run)), self.optimizer.build(self.steps)
        return self.fit(run, name, loss, params, aux, examples, self._known(run), self.steps, optimizer)

    # shapes without data

    def plan(self) -> dict[str, str]:
        """Sizes, parameters and memory; the network is built of shapes only. Needs a data set with `layout()`."""
        if not hasattr(self.data, "layout"):
            return {}
        layout: Layout = self.data.layout()  # type: ignore[attr-defined]
        sizes = self.formulation.sizes(layout)
        network, params = abstract(lambda rngs: self.network.build(rngs, sizes))
        (h, w), (fy, fx) = layout.grid, layout.frame
        inner = (h - 2 * fy, w - 2 * fx)
        cells = h * w - inner[0] * inner[1]
        plan = {
            "domain": f"{h} x {w} cells, interior {inner[0]} x {inner[1]}, {layout.variables} variables",
            "conditioning": f"{sizes.interior} channels inside, {sizes.boundary} in the {cells} cells of the frame, "
            f"{sizes.scalars} scalars",
            "parameters": f"{parameter_count(params):,}",
        }

        def shaped(*shape: int) -> Any:
            return jax.ShapeDtypeStruct(shape, jnp.float32)

        cond = Conditioning(
            shaped(1, *inner, sizes.interior), shaped(1, cells, sizes.boundary), shaped(1, sizes.scalars)
        )
        x = shaped(1, *inner, layout.variables)
        plan["output"] = str(jax.eval_shape(network, params, x, shaped(1), cond).shape[1:])
        state = 4 * parameter_count(params) * (5 if self.ema else 4)  # parameters, gradient, two moments, average
        if isinstance(self.network, UNet):
            step = activation_bytes(self.network, layout.grid, training=True) * self.batch // self.accumulate
            sampling = activation_bytes(self.network, layout.grid) * min(self.chunk, self.members * self.starts)
            plan["memory"] = (
                f"about {(state + step) / 1e9:.2f} GB in training ({self.batch // self.accumulate} examples at once), "
                f"{(state / 5 + sampling) / 1e9:.2f} GB in sampling"
            )
        return plan
