"""The recipe of WyckoffDiff: discrete diffusion over what sits on Wyckoff positions (arXiv 2502.06485)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Recipe
from genkit.nn import Net, parameter_count
from genkit.train import AdamW, learn
from genkit_crystals.chains import (
    Bucketed,
    CrystalDenoiser,
    Final,
    Frequencies,
    Noise,
    Objective,
    RowFrequencies,
    encode,
    layout,
)
from genkit_crystals.data import Crystals
from genkit_crystals.models.conditions import require_group
from genkit_crystals.models.trained import CrystalModel
from genkit_crystals.networks import Sizes, WyckoffGNN, silent


@dataclass(frozen=True, kw_only=True)
class WyckoffDiffusion(Recipe):
    """A discrete diffusion over what sits on the Wyckoff positions of a space group, which is given."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "noise", "length", "likelihood", "correlations", "counts", "steps")
    used: ClassVar[tuple[str, ...]] = ("strides", "final", "widths")

    network: Network[Sizes] = field(default_factory=WyckoffGNN)
    """The denoiser."""
    noise: Noise = "zeros"
    """What values are replaced by: uniform, marginal (frequencies of the data) or zeros (empty)."""
    length: int = 100
    """T, steps of the noise."""
    likelihood: bool = True
    """Multiply the network's answer by the likelihood of each value; the published model does not."""
    correlations: bool = True
    """Let the network answer only what it adds to the frequencies of values by space group, row and element; the
    published one answers all."""
    counts: int | None = None
    """Largest number of orbits of one element on one letter; that of the data if not given."""
    objective: Objective = field(default_factory=Objective)
    """The training loss."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    steps: int = 1800
    """Training steps."""
    batch: int = 64
    """Crystals in a step."""
    ema: float | None = 50.0
    """Half-life of the averaged parameters in steps; none to use the last ones."""
    widths: tuple[int, ...] = (6, 12)
    """Numbers of rows at which crystals are divided, so that small ones cost little."""
    strides: int | None = None
    """Steps of the sampler; T if not given."""
    final: Final = "sample"
    """The last step: a draw, the likeliest values, or the reference's, which leaves a little noise."""

    @classmethod
    def preset(cls, name: str) -> WyckoffDiffusion:
        """Presets tiny (CI), default (minutes on two cores), paper (the published sizes)."""
        if name == "tiny":
            return cls(network=WyckoffGNN.preset("tiny"), length=8, steps=20, batch=32, widths=())
        if name == "paper":
            return cls(
                network=WyckoffGNN.preset("paper"), noise="uniform", length=1000, likelihood=False,
                correlations=False, counts=54, objective=Objective("ce"),
                optimizer=AdamW(lr=2e-4, warmup=0, schedule="constant"), steps=925_000, batch=256, ema=None,
            )  # fmt: skip
        return cls()

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name in ("length", "steps", "batch", "strides", "counts"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"{name}={value} is too few")
        if list(self.widths) != sorted(set(self.widths)) or any(not 1 <= w <= 27 for w in self.widths):
            raise UsageError(f"widths={self.widths} must rise, from 1 to 27")

    def fit(self, run: Any, data: Crystals, start: CrystalModel | None = None) -> CrystalModel:
        """Train the denoiser; the model has averaged parameters."""
        model, steps = (self._untrained(run, data), self.steps) if start is None else (start, self.finetune)
        for group in data.groups:
            require_group(group, model.known)
        processes, optimizer = model.processes(), self.optimizer.build(steps)
        network, prior = model.network, jax.tree.map(jnp.asarray, model.prior)
        source = Bucketed.of(data.crystals, self.widths, self.batch, model.classes)

        def loss(params: Any, aux: Any, batch: tuple[Any, ...], key: jax.Array, training: bool = True) -> Any:
            total, metrics = jnp.zeros(()), {}
            for i, (part, slots) in enumerate(zip(batch, source.slots, strict=True)):
                k_move, k_loss = jax.random.split(jax.random.fold_in(key, i))
                x = slots.relabelled(k_move, part["group"], part["x"])
                denoiser = CrystalDenoiser(network, params, slots, prior)
                value, some = self.objective(k_loss, denoiser, {"group": part["group"], "x": x}, processes)
                share = len(part["group"]) / self.batch
                total = total + share * value
                metrics = {name: metrics.get(name, 0.0) + share * a for name, a in some.items()}
            return total, (aux, metrics)

        params = learn(
            run, "denoiser", loss, model.params, source, (), optimizer=optimizer, steps=steps, batch=self.batch,
            ema=self.ema, clip=1.0,
        )  # fmt: skip
        return replace(model, params=jax.device_get(params))

    def classes(self, data: Crystals) -> int:
        """Counts of orbits of the data are below it."""
        return 1 + (max(data.most, 1) if self.counts is None else self.counts)

    def _untrained(self, run: Any, data: Crystals) -> CrystalModel:
        slots, classes = layout(c.group for c in data.crystals), self.classes(data)
        arrays = encode(data.crystals, slots, classes)
        prior = RowFrequencies.of(data.crystals, slots, classes).log() if self.correlations else None
        network = Net(self.network, (Sizes(self.length, classes),))
        params = jax.jit(network.init)(run.key("parameters"))  # one program that is kept, not a hundred small ones
        return CrystalModel(
            network, silent(params) if self.correlations else params, np.bincount(arrays.group, minlength=231),
            Frequencies.of(arrays, slots, classes), prior, self.noise, self.length, self.likelihood, self.strides,
            self.final, self.widths,
        )  # fmt: skip

    def plan(self) -> dict[str, str]:
        """Parameters of the network."""
        classes = 55 if self.counts is None else self.counts + 1
        count = parameter_count(Net(self.network, (Sizes(self.length, classes),)).shapes())
        return {"parameters": f"{count:,} with counts up to {classes - 1}"}
