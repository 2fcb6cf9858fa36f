"""`genkit encode`: features of own images by an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Encode:
    """Encode images: the class token of a vision transformer, or the features of a model trained here.

    Writes an .npz file of features under the names of the images, for `representations.likelihood_ood --data features
    --data.file FILE`.
    """

    weights: Annotated[Path, tyro.conf.Positional]
    """Weights of timm, DINO, DINOv2 or transformers (.safetensors, .npz; .pth with torch), or a folder of a model."""
    images: Annotated[Path, tyro.conf.Positional]
    """An .npz file with arrays train, test and ood/<name> of images (n, h, w, c) and labels of train, or a folder with
    folders of these names, of images or of a folder for each class."""
    out: Path = Path("features.npz")
    """The file of features."""
    size: int | None = None
    """Side of the images in pixels; none is that of the weights. Positions are interpolated for another one."""
    mean: Colour = (0.485, 0.456, 0.406)
    """Of each colour, subtracted; ImageNet's. Some of timm's weights have .5. A model trained here has its own."""
    std: Colour = (0.229, 0.224, 0.225)
    """Of each colour, divided by."""
    heads: int | None = None
    """Of attention, which weights do not tell; none goes by the width of the published ones."""
    batch: int = 32
    """Images at a time."""

    def run(self) -> None:
        """Read, encode, write."""
        import numpy as np

        from genkit.errors import UsageError
        from genkit.files import write_arrays
        from genkit_representations.images import image_sets

        if self.batch < 1 or (self.size is not None and self.size < 1) or min(self.std) <= 0:
            raise UsageError(f"batch={self.batch}, size={self.size}, std={self.std}; expected positive numbers")
        shape, encode = self._trained() if self.weights.is_dir() else self._imported()
        arrays = {}
        for name, images in image_sets(self.images, shape).items():
            arrays[name] = np.concatenate([encode(part) for part in images.parts(self.batch)])
            print(f"{name}: {len(images)} images, {arrays[name].shape[1]} features")
            if name == "train" and images.labels is not None:
                arrays["labels"] = np.unique(images.labels, return_inverse=True)[1]
        write_arrays(self.out, arrays)
        print(f"wrote {self.out}")

    def _imported(self) -> Any:
        import jax
        import jax.numpy as jnp
        import numpy as np

        from genkit_representations.networks import read_vit

        net, params = read_vit(self.weights, self.heads)
        height, width, channels = net.sizes[0]
        shape = (height, width, channels) if self.size is None else (self.size, self.size, channels)
        net.component.grid(shape)
        mean, std = (jnp.asarray(c if channels == 3 else np.mean(c)) for c in (self.mean, self.std))
        features = jax.jit(lambda params, x: net(params, (x - mean) / std)[0])

        def encode(x: Any) -> Any:
            short = self.batch - len(x)  # one program for all batches
            return np.asarray(features(params, np.concatenate([x, np.repeat(x[-1:], short, 0)])))[: len(x)]

        return shape, encode

    def _trained(self) -> Any:
        from genkit.errors import UsageError
        from genkit.model import load

        model: Any = load(self.weights)
        if not hasattr(model, "features"):
            raise UsageError(f"{self.weights} holds a {type(model).__name__}, which encodes no images")
        if len(model.shape) != 3 or self.size not in (None, model.shape[0]):
            raise UsageError(f"{self.weights} encodes samples of shape {model.shape}; got size={self.size} of images")
        return model.shape, model.features
