"""A trained diffusion model of images: draws of it, and images restored under it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
import numpy as np

from genkit.errors import DataError, UsageError
from genkit.kinds import ZERO
from genkit.model import NPZ, Diffusion, Draw, Piece, Request, measured
from genkit.nn import Net
from genkit.tree import register_dataclass
from genkit_inverse.models.windowed import Windowed
from genkit_inverse.networks.imported import ADM, EDMUNet, UNet2D
from genkit_inverse.operators import Task, pictured
from genkit_inverse.pictures import ENDINGS, Restored, read_array, read_picture, said

FAR = 5.0  # widths of the range, beyond which numbers are in other units


@dataclass(frozen=True)
class Restore(Draw):
    """Draw images; with --operator and --observation restore one: samples of the posterior given y = A x + noise.

    The observation is a picture (PNG, JPEG), whose black and white are those of the model, or an array in the units of
    the training data: the numbers measured, or a whole measurement, of which a mask hides a part. A picture without
    --std has the noise of rounding to 8 bits.
    """

    formats: ClassVar[dict[str, str]] = {".npz": NPZ, "": NPZ}  # `writer` makes both

    size: tuple[int, int] | None = None
    """Rows and columns of the images, if others than those of the training; networks without levels that break off."""
    overlap: Annotated[int | None, ZERO] = None
    """Cells that windows of the training's size share, by which larger images are seen; without it as a whole."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        super().__post_init__()
        if self.overlap is not None and self.size is None:
            raise UsageError(f"overlap={self.overlap} is for images of another size; give --size ROWS COLUMNS too")

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = 256) -> Iterator[Piece]:
        """See `Draw`."""
        yield from super().__call__(self._sized(model), key, n, chunk)

    def _sized(self, model: Any) -> Any:
        return model if self.size is None else model.resized(self.size, self.overlap)

    def writer(self, path: Path, model: Any = None) -> Any:
        """A folder, or an .npz file."""
        if not path.is_dir():
            super().writer(path)  # refuses other endings
        if model is None:
            return Restored(path)
        about: dict[str, Any] = {}
        if self.operator is not None:
            observation = self.observed(self._sized(model))
            about = {"measured": observation.operator.size, "noise": _law(observation)}
        return Restored(path, getattr(model.denoiser, "range", None), about)

    def measured(self, model: Any, operator: Any, file: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """y (m,), and the std of its noise where the file tells it."""
        task: Any = self.operator
        kind = file.suffix.lower()
        if kind == ".npz":
            y, std = measured(file)
            return self._numbers(y, model, operator, file), std
        bounds = getattr(model.denoiser, "range", None)
        if kind != ".npy":
            if file.is_file() and kind not in ENDINGS:
                raise DataError(f"{file}: expected a picture ({', '.join(ENDINGS)}), .npy or .npz")
            y = read_picture(file)
            if not pictured(task, operator):
                raise DataError(f"{file} is a picture, which {type(task).__name__} does not measure; give .npy or .npz")
            if self.noise is not None:
                raise DataError(f"{file} is a picture; --noise is of the numbers measured, give them as .npy or .npz")
            if bounds is None:
                raise DataError(f"{file}: the model does not tell what is black and white; give .npy or .npz")
            low, high = bounds
            rounding = np.asarray((high - low) / 255 / 12**0.5)
            return self._numbers(low + (high - low) * y, model, operator, file), rounding
        return self._numbers(read_array(file), model, operator, file), None

    def _numbers(self, y: np.ndarray, model: Any, operator: Any, file: Path) -> np.ndarray:
        """Those that are measured, of all that the file holds."""
        task: Any = self.operator
        if np.iscomplexobj(y) and 2 * y.size == operator.size and y.ndim == 1:
            return y
        layout = task.layout(model.shape) if isinstance(task, Task) else (operator.size,)
        if not isinstance(task, Task) and operator.size == np.prod(model.shape):
            layout = tuple(model.shape)
        if y.shape in (layout, layout[:-1] if layout[-1] == 1 else layout) and y.shape != (operator.size,):
            y = task.numbers(y.reshape(layout), operator) if isinstance(task, Task) else y.reshape(-1)
        if y.shape != (operator.size,):
            other = "" if self.size or y.ndim < 2 else "; --size restores at another size"
            flat = "" if layout == (operator.size,) else f", or the {operator.size} numbers measured"
            raise UsageError(f"{file} is {said(y.shape)}; expected {said(layout)}{flat}{other}")
        if np.iscomplexobj(y):
            raise UsageError(f"{file} is complex; expected real numbers")
        bounds = getattr(model.denoiser, "range", None)
        if self.noise is None and bounds and pictured(task, operator) and np.isfinite(y).all():
            low, high = (b + sign * FAR * (bounds[1] - bounds[0]) for b, sign in zip(bounds, (-1, 1), strict=True))
            if y.min() < low or y.max() > high:
                raise UsageError(
                    f"{file} has values from {y.min():g} to {y.max():g}; expected the units of the training data, "
                    f"black {bounds[0]:g} and white {bounds[1]:g}"
                )
        return y.astype(np.float64)


def _law(observation: Any) -> str:
    noise = observation.noise
    std = getattr(noise, "std", None)
    if std is None:
        return type(noise).__name__.lower()
    return f"of std {float(np.mean(std)):.3g}" if np.any(std) else "none"


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class ImageDiffusion(Diffusion):
    """A denoiser of images (n, h, w, c) with the sampler that draws from it."""

    request: ClassVar[type[Request]] = Restore

    def resized(self, size: tuple[int, int], overlap: int | None = None) -> ImageDiffusion:
        """The same network for images of another size, where its parameters do not depend on it, or by `Windowed`."""
        if overlap is not None:
            windowed = Windowed(self.denoiser, (self.shape[0], self.shape[1]), overlap)
            windowed.places(size)
            return replace(self, denoiser=windowed, shape=(*size, self.shape[2]))
        net = getattr(self.denoiser, "network", None)
        shape = (*size, self.shape[2])
        if isinstance(net, (ADM, EDMUNet, UNet2D)):
            return self._of(shape)
        if not isinstance(net, Net) or net.sizes[0] != self.shape:
            raise UsageError(f"{self!r} is of images of {said(self.shape)}; no other size")
        other = replace(net, sizes=(shape, *net.sizes[1:]))
        own, theirs = (jax.tree.map(lambda a: a.shape, one.shapes()) for one in (net, other))
        if own != theirs:
            raise UsageError(f"the network for {said(self.shape)} has other parameters at {size[0]} x {size[1]}")
        return replace(self, denoiser=replace(self.denoiser, network=other), shape=shape)

    def _of(self, shape: tuple[int, int, int]) -> ImageDiffusion:
        """The same convolutions on images of another shape, which their levels must halve."""
        x, t = (jax.ShapeDtypeStruct(of, np.float32) for of in ((1, *shape), (1,)))
        try:
            found = jax.eval_shape(self.denoiser, x, t).shape
        except (TypeError, ValueError):
            found = None
        if found != x.shape:
            raise UsageError(
                f"the network for {said(self.shape)} does not take {said(shape)}; expected rows and columns "
                "that its levels halve without a rest"
            )
        return replace(self, shape=shape)
