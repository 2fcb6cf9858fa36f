"""The recipe of a diffusion model of images, a prior of inverse problems."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import jax

from genkit.diffusion import EDM, EDMDenoiser, Heun, LogNormal, NetworkDenoiser, denoising_loss
from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer, Process, Sampler
from genkit.model import Recipe
from genkit.nn import Net, NoisyUNet, parameter_count
from genkit.train import AdamW, learn
from genkit_inverse.images import Images
from genkit_inverse.models.image_diffusion import ImageDiffusion

NOISE = LogNormal(mean=-0.8, std=1.2)


def loss(key: Any, denoiser: Any, x0: Any, noise: LogNormal = NOISE, training: bool = False) -> jax.Array:
    """Denoising loss of images (n, h, w, c); dropout in training."""
    key, drop = jax.random.split(key)
    return denoising_loss(key, denoiser, x0, drop if training else None, noise)


@dataclass(frozen=True, kw_only=True)
class ImagePrior(Recipe):
    """A diffusion model of images of one size, trained on the training set and watched on the validation set."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "process", "predicts", "steps")
    used: ClassVar[tuple[str, ...]] = ("sampler",)

    network: Network[tuple[int, int, int]] = field(default_factory=lambda: NoisyUNet(base=16, blocks=1, dropout=0.05))
    """The denoising network."""
    process: Process = field(default_factory=EDM)
    """The Gaussian path."""
    predicts: Literal["edm", "eps", "x0", "v", "flow", "score"] = "edm"
    """What the network gives: EDM's preconditioned residual, the noise, the image, the velocity of VP or of a flow, or
    the score."""
    noise: LogNormal = field(default_factory=lambda: NOISE)
    """Noise levels sigma / alpha in training."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    steps: int = 2000
    """Training steps."""
    batch: int = 32
    """Images in a step."""
    ema: float = 200.0
    """Half-life of the averaged parameters in steps."""
    sampler: Sampler = field(default_factory=lambda: Heun(steps=18, sigma_min=0.01, sigma_max=20.0))
    """The sampler of the prior."""

    @classmethod
    def preset(cls, name: str) -> ImagePrior:
        """Presets tiny (CI), default (minutes on two cores), paper (EDM's network for CIFAR-10)."""
        if name == "tiny":
            sampler = Heun(steps=8, sigma_min=0.01, sigma_max=20.0)
            return cls(network=NoisyUNet.preset("tiny"), steps=120, batch=16, ema=20.0, sampler=sampler)
        if name == "paper":
            network = NoisyUNet.preset("paper")
            return cls(network=network, optimizer=AdamW(lr=1e-3), steps=100_000, batch=512, ema=1000.0)
        return cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.ema <= 0:
            raise UsageError(f"ema={self.ema} steps must be positive")

    def fit(self, run: Any, data: Images, start: ImageDiffusion | None = None) -> ImageDiffusion:
        """Train the network; the model has averaged parameters."""
        model, steps = (self._untrained(data), self.steps) if start is None else (start, self.finetune)
        denoiser: Any = model.denoiser

        def of(params: Any, aux: None, batch: Any, key: Any, training: bool = True) -> Any:
            return loss(key, replace(denoiser, params=params), batch, self.noise, training), (aux, {})

        params = learn(
            run, "prior", of, denoiser.network.init if start is None else denoiser.params, data.train, [data.val],
            optimizer=self.optimizer.build(steps), steps=steps, batch=self.batch, ema=self.ema,
            validate=max(1, steps // 10),
        )  # fmt: skip
        return replace(model, denoiser=replace(denoiser, params=params), sampler=self.sampler)

    def _untrained(self, data: Images) -> ImageDiffusion:
        process: Any = self.process
        net = Net(self.network, (data.shape,))
        if self.predicts == "edm":
            denoiser = EDMDenoiser(net, None, float(data.train.std()), process, data.range)
        else:
            denoiser = NetworkDenoiser(net, None, process, self.predicts, data.range)
        return ImageDiffusion(denoiser, data.shape, self.sampler)

    def plan(self, shape: tuple[int, int, int]) -> dict[str, str]:
        """Sizes and parameters."""
        count = parameter_count(Net(self.network, (shape,)).shapes())
        return {"images": " x ".join(map(str, shape)), "parameters": f"{count:,}"}
