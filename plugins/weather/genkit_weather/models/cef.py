"""The recipe of continuous ensemble forecasts: a network for all leads (Andrae et al. 2025, arXiv 2410.05431)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from math import log
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from genkit.diffusion import Heun, process_of
from genkit.errors import UsageError
from genkit.kinds import Network
from genkit.train import AdamW
from genkit.tree import register_dataclass
from genkit_weather.data import WeatherData
from genkit_weather.lam import (
    Augmentation,
    Batch,
    Coupling,
    Domain,
    Formulation,
    Sampled,
    Times,
    changes,
    check_deterministic,
    domain_of,
    mixing,
)
from genkit_weather.models.diffusion import Diffusion
from genkit_weather.models.trained import WeatherModel
from genkit_weather.networks import LamUNet, Sizes

PERIODIC = ("circular", "circular")
PUBLISHED = LamUNet(
    base=32, multipliers=(2, 2, 2), blocks=4, attention=(1,), bottleneck_attention=True, dropout=0.1,
    padding=("zero", "circular"), patch=1, taps=(1, 3, 3, 1), encoder="residual", resample_skip=True, embedder=0,
    embedding=128, frequencies="fourier", features=64, noise_skip=0,
)  # fmt: skip


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class ContinuousModel(WeatherModel):
    """A forecaster of blocks of leads; those of use are some that it was trained for."""

    T_it: float = field(default=24.0, metadata={"static": True})
    """hours of a block"""
    delta: float = field(default=6.0, metadata={"static": True})
    """hours between leads"""
    coupling: Coupling = field(default="shared", metadata={"static": True})
    """of the noise of the leads"""
    theta: float = field(default=log(10), metadata={"static": True})
    """decay per day of the Ornstein-Uhlenbeck noise"""

    @property
    def times(self) -> Times:
        """Leads and lag in steps of the data, those that the model was trained for."""
        trained, step = self.domain.times, self.area.step_hours
        used = Times.of(step, lag=trained.lag * step, delta=self.delta, T_it=self.T_it)
        used.check_known(trained, step)
        return used

    @property
    def stepper(self) -> Sampled:
        """What makes a block."""
        count, delta = len(self.times.leads), self.times.delta
        if count == 1:
            return Sampled.by(self.sampler, self.forecaster)
        weights = mixing(self.coupling, count, self.theta * self.delta / 24)
        sampled = Sampled.by(self.sampler, self.forecaster, weights, delta)
        check_deterministic(sampled.table, self.coupling)
        return sampled


@dataclass(frozen=True, kw_only=True)
class CEF(Diffusion):
    """Conditional diffusion of the state at any of several lead times; longer forecasts go on block by block.

    A block of T_it hours has the leads delta, 2 delta, ..., T_it, all drawn at once. T_it as long as the forecast is
    continuous forecasting (CI), delta as long as T_it is autoregression (AR), in between is ARCI-T_it/delta.
    """

    fixed: ClassVar[tuple[str, ...]] = (*Diffusion.fixed, "lag", "scale")
    used: ClassVar[tuple[str, ...]] = ("sampler", "T_it", "delta", "coupling", "theta")

    formulation: Formulation = field(default_factory=lambda: Formulation("persistence", fill=False))
    """What is predicted and what the network is told."""
    network: Network[Sizes] = field(default_factory=lambda: LamUNet(padding=PERIODIC))
    """The denoising network."""
    steps: int = 600
    """Training steps of each stage."""
    T_it: float = 24.0
    """Hours of a block: the step of the autoregression."""
    delta: float = 6.0
    """Hours between the leads of a block; divides T_it."""
    lag: float = 6.0
    """Hours between the two states that are known."""
    coupling: Coupling = "shared"
    """Noise of the leads of a block: one for all, an Ornstein-Uhlenbeck process over the lead, or independent."""
    theta: float = log(10)
    """Decay of the Ornstein-Uhlenbeck noise per day of lead time."""
    scale: Literal["std", "var"] = "std"
    """What the squared error of a lead is divided by: the standard deviation, as published, or the variance of how much
    a variable changes over it."""

    @classmethod
    def preset(cls, name: str) -> CEF:
        """Presets tiny (CI), default (minutes on two cores), paper (the published 5.625 degree configuration)."""
        if name == "tiny":
            network = replace(LamUNet.preset("tiny"), base=8, embedder=8, embedding=32, noise_skip=1, padding=PERIODIC)
            return cls(network=network, steps=60, sampler=Heun(steps=5), T_it=12.0)
        if name == "paper":
            return cls(
                network=PUBLISHED, formulation=Formulation("none", fill=False, tendencies=False), sigma_data=(1.0,),
                augmentation=Augmentation(), batch=256, ema=None, clip=None, checkpoint="best", validate=1000,
                optimizer=AdamW(lr=5e-4, weight_decay=0.1, warmup=1000), steps=380_000,
            )  # fmt: skip
        return cls()

    def __post_init__(self) -> None:
        """Check the times and the coupling."""
        super().__post_init__()
        if min(self.T_it, self.delta, self.lag) <= 0:
            raise UsageError(f"T_it={self.T_it:g}, delta={self.delta:g} and lag={self.lag:g} are hours above 0")
        if abs(self.T_it / self.delta - round(self.T_it / self.delta)) > 1e-6:
            raise UsageError(f"delta={self.delta:g} h does not divide T_it={self.T_it:g} h; choose one that does")
        if self.theta <= 0:
            raise UsageError(f"theta={self.theta} must be positive; coupling=shared does not decay")
        if self.delta < self.T_it and hasattr(self.sampler, "table"):
            check_deterministic(self.sampler.table(), self.coupling)  # type: ignore[attr-defined]

    def times(self, step: float) -> Times:
        """Lag and leads in steps of data every `step` hours."""
        return Times.of(step, lag=self.lag, delta=self.delta, T_it=self.T_it)

    def domain(self, data: WeatherData) -> Domain:
        """Statistics and fixed fields; those of the residual by lead."""
        return domain_of(data, self.formulation, times=self.times(data.step_hours))

    def sizes_of(self, layout: Any, extra: int = 0) -> Sizes:
        """Sizes of the network, which is told the lead time where there are several."""
        return replace(super().sizes_of(layout, extra), lead=self.delta < self.T_it)

    def weigher(self, data: WeatherData, domain: Domain) -> Callable[[Batch], jax.Array]:
        """Weights that make the loss |D - x|^2 / r or |D - x|^2 / r^2, r how much a variable changes over the lead."""
        weigh, change = super().weigher(data, domain), jnp.asarray(changes(domain, data))
        by_lead = jnp.square(domain.residual_std) / change ** (1 if self.scale == "std" else 2)
        return lambda batch: weigh(batch) * domain.of_lead(by_lead, batch.inputs.lead)

    def trained(self, forecaster: Any, data: WeatherData, start: Any, sampler: Any = None) -> WeatherModel:
        """The trained model, with the leads that a forecast has."""
        base = super().trained(forecaster, data, start, sampler)
        same = {f.name: getattr(base, f.name) for f in fields(WeatherModel) if f.init}
        return ContinuousModel(**same, **{name: getattr(self, name) for name in self.used if name != "sampler"})


def calls(model: ContinuousModel) -> float:
    """Network calls in sequence of one member and 24 hours: all leads of a block are computed side by side."""
    table = model.sampler.table(process_of(model.forecaster.denoiser))
    steps, each = table.steps.x.shape
    return (1 + steps * each) * 24 / model.T_it
