"""The recipe of a discrete diffusion model of binary images, and what is asked of it once it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import batches
from genkit.discrete import Ancestral, Process, cosine_steps, d3pm_loss, masked, sample, steps, uniform
from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Piece, Recipe, Request, Trained, arrays_in
from genkit.nn import Net
from genkit.steer import D3SMC, Channel, channel, posterior
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit.tree import register_dataclass
from genkit_inverse.images import Bits
from genkit_inverse.networks import Classifier, LogitUNet

KERNELS = ("uniform", "masked")


@dataclass(frozen=True)
class Draw(Request):
    """Draw binary images; with --observation, of the posterior given measured bits, by D3SMC (arXiv 2502.06379)."""

    steps: int | None = None
    """Steps of the sampler, of those of the chain; all if not given."""
    observation: Path | None = None
    """File of measured bits, of the images' shape: .npy, or .npz with `y` and, where some are hidden, `seen` (bool)."""
    flip: float = 0.0
    """Probability that a measured bit is wrong."""
    particles: int = 32
    """Particles of each sample of the posterior."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.particles < 1 or (self.steps is not None and self.steps < 1):
            raise UsageError(f"steps={self.steps}, particles={self.particles}; expected at least 1")
        if not 0 <= self.flip < 0.5:
            raise UsageError(f"flip={self.flip}; expected 0 <= flip < 0.5")
        if self.observation is None and self.flip:
            raise UsageError(f"flip={self.flip} is for a posterior; give --observation FILE too")

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = 256) -> Iterator[Piece]:
        """Pieces of `samples` (n, h, w); of a posterior with the `log_z` of each sample's group."""
        denoiser = model.denoiser
        if self.observation is not None:
            table = D3SMC(steps=self.steps).table(denoiser.process)
            groups = min(n, max(1, chunk // self.particles))
            given = self.observed(model.shape)
            draws = posterior(key, table, denoiser, given, n, self.particles, chunk=groups)
            yield {"samples": np.asarray(draws.x[:, 0], np.int8), "log_z": np.asarray(draws.log_z)}
            return
        size, sampler = min(n, chunk), Ancestral(denoiser.process, steps=self.steps)
        for first in range(0, n, size):
            x = sample(key, sampler, denoiser, (size, *model.shape), slots=jnp.arange(first, first + size))
            yield {"samples": np.asarray(x, np.int8)[: n - first]}

    def observed(self, shape: tuple[int, int]) -> Channel:
        """The measurement in the file."""
        assert self.observation is not None
        arrays = arrays_in(self.observation)
        y = arrays.get("y")
        if y is None or y.shape != shape:
            found = "no y" if y is None else f"y of shape {y.shape}"
            raise UsageError(f"{self.observation} has {found}; expected the bits of an image, y {shape}")
        try:
            return bit_channel(y, arrays.get("seen"), self.flip)
        except UsageError as error:
            raise UsageError(f"{self.observation}: {error}") from None


def bit_channel(y: np.ndarray, seen: np.ndarray | None, flip: float) -> Channel:
    """Bits that flip."""
    return channel(y, [[1 - flip, flip], [flip, 1 - flip]], seen)


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class BinaryDiffusion(Trained):
    """A denoiser of binary images of one shape."""

    request: ClassVar[type[Request]] = Draw

    denoiser: Classifier
    shape: tuple[int, int] = field(metadata={"static": True})
    """(h, w)"""

    def check(self, data: Bits) -> None:
        """Refuse images of another shape."""
        if data.shape != self.shape:
            raise UsageError(f"{self!r} is a model of images of shape {self.shape}; the data have {data.shape}")


@dataclass(frozen=True, kw_only=True)
class BinaryPrior(Recipe):
    """A discrete diffusion model of binary images (D3PM, arXiv 2107.03006), on its cosine schedule."""

    fixed: ClassVar[tuple[str, ...]] = ("kernel", "chain", "network", "train_steps")

    kernel: Literal["uniform", "masked"] = "uniform"
    """Noise: uniform, or masks (absorbing)."""
    chain: int = 100
    """Steps of the diffusion."""
    network: Network[tuple[int, int], int, int] = field(
        default_factory=lambda: LogitUNet(base=16, blocks=1, dropout=0.05)
    )
    """The denoising network."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    train_steps: int = 1500
    """Training steps."""
    batch: int = 64
    """Images in a training step."""

    @classmethod
    def preset(cls, name: str) -> BinaryPrior:
        """Presets tiny (CI), default, and paper (a long chain)."""
        if name == "tiny":
            return cls(network=LogitUNet.preset("tiny"), chain=20, train_steps=60)
        return cls(network=LogitUNet.preset("paper"), chain=1000, train_steps=50_000) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("chain", "train_steps", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    @property
    def process(self) -> Process:
        """The noise."""
        return {"uniform": uniform, "masked": masked}[self.kernel](2, steps(cosine_steps(self.chain)))

    def fit(self, run: Any, data: Bits, start: BinaryDiffusion | None = None) -> BinaryDiffusion:
        """Train the network; the model has averaged parameters. The phase has the name of the kernel."""
        model = start or self._untrained(data)
        length = self.train_steps if start is None else self.finetune
        denoiser, optimizer = model.denoiser, self.optimizer.build(length)

        def loss(params: Any, aux: None, batch: Any, key: Any) -> Any:
            noise, drop = jax.random.split(key)
            now = replace(denoiser, params=params)
            # what D3SMC takes from the network are the laws of x_0: they alone are trained, evenly over the steps
            return d3pm_loss(noise, now, batch, drop, denoiser.process, bound=0.0, ce=1.0), (aux, {})

        def init(key: Any) -> TrainState:
            return TrainState.create(denoiser.network.init(key) if start is None else denoiser.params, optimizer)

        step = make_step(loss, optimizer, ema_half_life=length / 40)
        state = run.fit(Phase(self.kernel, init, step, batches(data.train, self.batch, seed=run.seed), length))
        return replace(model, denoiser=replace(denoiser, params=state.averaged))

    def _untrained(self, data: Bits) -> BinaryDiffusion:
        process = self.process
        net = Net(self.network, (data.shape, process.states, process.data_classes))
        return BinaryDiffusion(Classifier(net, None, process, float(self.chain)), data.shape)
