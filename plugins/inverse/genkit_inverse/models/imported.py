"""Image priors of other packages as trained models: the formats edm, adm and diffusers of `genkit import`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.diffusion import DDIM, DDPM, EDM, EDMDenoiser, Heun, NetworkDenoiser
from genkit.errors import DataError, GenkitError, UsageError
from genkit.files import read_json
from genkit.kinds import Sampler
from genkit.model import Format, Recipe, read_checkpoint
from genkit_inverse.images import Images
from genkit_inverse.models.image_diffusion import ImageDiffusion
from genkit_inverse.networks.imported import ADM, EDMUNet, UNet2D, nested

BOUNDS = (-1.0, 1.0)  # of the images of all three
STEPS = DDIM(steps=100)


@dataclass(frozen=True, kw_only=True)
class Pretrained(Recipe):
    """A diffusion model of images that was trained elsewhere, and imported."""

    used: ClassVar[tuple[str, ...]] = ("sampler",)

    sampler: Sampler = field(default_factory=lambda: STEPS)
    """The sampler of the prior."""

    def fit(self, run: Any, data: Images, start: ImageDiffusion | None = None) -> ImageDiffusion:
        """It is not trained here."""
        raise UsageError("a pretrained prior is not trained here; give the folder that genkit import made, as it is")


@dataclass(frozen=True)
class FromEDM(Format):
    """A state_dict of NVlabs/edm's EDMPrecond (SongUNet or DhariwalUNet), as .safetensors, .pt or .npz.

    Their .pkl files hold code, which is not run: save `network_pkl["ema"].state_dict()`.
    """

    sigma_data: float = 0.5
    """standard deviation of the data in the preconditioning"""

    def read(self, path: Path) -> tuple[ImageDiffusion, Pretrained]:
        """Architecture and sizes are those of the names and shapes."""
        if path.suffix == ".pkl":
            raise DataError(f"{path} holds code, which is not run; save its state_dict() as .safetensors or .pt")
        with _fitting(path):
            arrays = _without(read_checkpoint(path)[0], "model.")
            params = _expected(arrays, path, "enc", "dec", "map_layer0", "map_layer1")
            sizes = sorted({int(name.split("x")[0]) for name in params["enc"]}, reverse=True)
            first = params["enc"].get(f"{sizes[0]}x{sizes[0]}_conv")
            if first is None:
                raise DataError(f"{path} has no convolution enc.{sizes[0]}x{sizes[0]}_conv; expected an EDM U-Net")
            blocks = sum(name.startswith(f"{sizes[0]}x{sizes[0]}_block") for name in params["enc"])
            filters = [a for name, a in arrays.items() if name.endswith("resample_filter")]
            taps = (1, 3, 3, 1) if filters and filters[0].shape[-1] == 4 else (1, 1)
            net = EDMUNet(sizes[0], len(sizes), blocks, "out_conv" in params, taps)
            shape = (sizes[0], sizes[0], int(first["weight"].shape[1]))
            _check_call(net, params, shape, path)
        return _made(EDMDenoiser(net, params, self.sigma_data, EDM(), BOUNDS), shape, Heun(steps=18))


@dataclass(frozen=True)
class FromADM(Format):
    """A checkpoint of openai/guided-diffusion: 1000 steps, linear betas, predicts the noise."""

    image_size: int = 256
    """rows and columns"""
    levels: int = 0
    """of resolution; 0 for those of the image size in guided-diffusion: 6 of 256, 5 of 128, 4 of 64, 7 of 512"""
    heads: int = 0
    """num_heads, or 0 for num_head_channels"""
    head_channels: int = 64
    """num_head_channels"""
    new_order: bool = False
    """use_new_attention_order"""

    def read(self, path: Path) -> tuple[ImageDiffusion, Pretrained]:
        """Blocks and channels are those of the names and shapes."""
        with _fitting(path):
            arrays, _ = read_checkpoint(path)
            params = _expected(arrays, path, "time_embed", "input_blocks", "middle_block", "output_blocks")
            usual = {512: 7, 256: 6, 128: 5, 64: 4}
            levels = self.levels or usual.get(self.image_size, 0)
            count = len(params["input_blocks"])
            if not levels or count % levels:
                raise UsageError(
                    f"{path} has {count} input blocks, no whole number of each of {levels} levels; give --levels"
                )
            net = ADM(levels, count // levels - 1, self.heads, self.head_channels, self.new_order)
            channels = int(params["input_blocks"]["0"]["0"]["weight"].shape[1])
            shape = (self.image_size, self.image_size, channels)
            _check_call(net, params, shape, path)
        return _made(NetworkDenoiser(net, params, DDPM(), "eps", BOUNDS), shape)


PREDICTS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}


@dataclass(frozen=True)
class FromDiffusers(Format):
    """A folder of a diffusers pipeline or UNet2DModel: config.json and weights in .safetensors."""

    def read(self, path: Path) -> tuple[ImageDiffusion, Pretrained]:
        """As its config.json and, where there is one, its scheduler's say."""
        folder = path / "unet" if (path / "unet").is_dir() else path
        with _fitting(folder):
            config = read_json(folder / "config.json", {})
            if not config:
                raise DataError(f"{folder} has no config.json; expected the folder of a UNet2DModel of diffusers")
            self._check(config, folder)
            found = [folder / name for name in ("diffusion_pytorch_model.safetensors", "model.safetensors")]
            file = next((one for one in found if one.is_file()), None)
            if file is None:
                raise DataError(f"{folder} has no diffusion_pytorch_model.safetensors; save the model with safetensors")
            params = _expected(read_checkpoint(file)[0], file, "conv_in", "down_blocks", "mid_block", "up_blocks")
            net = UNet2D(
                config.get("norm_num_groups") or 32, config.get("norm_eps", 1e-5),
                config.get("attention_head_dim", 8) or 0, config.get("flip_sin_to_cos", True),
                config.get("freq_shift", 0), config.get("center_input_sample", False),
                config.get("downsample_padding", 1) == 1,
                config.get("resnet_time_scale_shift", "default") == "scale_shift",
                config.get("mid_block_scale_factor", 1),
            )  # fmt: skip
            side = config.get("sample_size")
            if side is None:
                side = 32
                print(f"{folder}/config.json has no sample_size; taken for {side} x {side}, --size restores at others")
            h, w = side if isinstance(side, list) else (side, side)
            shape = (h, w, int(config.get("in_channels", 3)))
            _check_call(net, params, shape, file)
            process, predicts = _scheduler(folder)
        return _made(NetworkDenoiser(net, params, process, predicts, BOUNDS), shape)

    def _check(self, config: dict[str, Any], folder: Path) -> None:
        known = {"DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"}
        used = [*config.get("down_block_types", ()), *config.get("up_block_types", ())]
        if strange := sorted(set(used) - known):
            raise DataError(f"{folder}/config.json has {', '.join(strange)}; expected {', '.join(sorted(known))}")
        usual = {
            "time_embedding_type": "positional",
            "act_fn": "silu",
            "downsample_type": "conv",
            "upsample_type": "conv",
        }
        for name in ("class_embed_type", "num_class_embeds"):
            if config.get(name) is not None:
                raise _conditional(folder / "config.json", name)
        for name, value in usual.items():
            if config.get(name, value) != value:
                raise DataError(f"{folder}/config.json has {name} {config[name]}; expected {value}")


def _made(denoiser: Any, shape: tuple[int, ...], sampler: Any = STEPS) -> tuple[ImageDiffusion, Pretrained]:
    return ImageDiffusion(denoiser, shape, sampler), Pretrained(sampler=sampler)


def _scheduler(folder: Path) -> tuple[DDPM, Any]:
    """Process and what is predicted."""
    places = (folder.parent / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    config = next((read_json(p, {}) for p in places if p.is_file()), {})
    if not config:
        print(f"{folder} has no scheduler_config.json; taken for 1000 steps, linear betas .0001 to .02, epsilon")
    if config.get("beta_schedule", "linear") != "linear" or config.get("trained_betas") is not None:
        raise DataError(f"the scheduler of {folder} has betas {config.get('beta_schedule')}; expected linear ones")
    process = DDPM(
        config.get("num_train_timesteps", 1000), config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    )
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTS:
        raise DataError(f"the scheduler of {folder} predicts {kind}; expected {', '.join(PREDICTS)}")
    return process, PREDICTS[kind]


def _without(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): a for name, a in arrays.items()}


def _expected(arrays: dict[str, np.ndarray], path: Path, *parts: str) -> dict[str, Any]:
    """Nested parameters with these parts, without buffers that the architecture says."""
    kept = {re.sub(r"^module\.", "", n): a for n, a in arrays.items() if not n.endswith("resample_filter")}
    params = nested({name: np.ascontiguousarray(a, np.float32) for name, a in kept.items()})
    if labels := [part for part in ("map_label", "label_emb", "class_embedding") if part in params]:
        raise _conditional(path, labels[0])
    if missing := [part for part in parts if part not in params]:
        raise DataError(f"{path} has no {', '.join(missing)}; it has {', '.join(list(params)[:6]) or 'nothing'}")
    return params


def _conditional(path: Path, what: str) -> DataError:
    return DataError(f"{path} has {what}: its images are of a class that is given; expected a model without classes")


@contextlib.contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Refuse weights that do not fit the architecture, whatever their names and shapes make go wrong."""
    try:
        yield
    except GenkitError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{path} does not fit the architecture ({type(error).__name__}: {why})") from None


def _check_call(net: Any, params: Any, shape: tuple[int, ...], path: Path) -> None:
    """Refuse a network that gives another shape; nothing is computed."""
    x = jax.ShapeDtypeStruct((1, *shape), np.float32)
    y = jax.eval_shape(net, params, x, jax.ShapeDtypeStruct((1,), np.float32))
    if y.shape != x.shape:
        raise DataError(f"{path} gives {y.shape[1:]} for images of {shape}; expected the same shape")
