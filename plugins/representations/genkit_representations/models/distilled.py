"""A trained teacher and its student."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.model import Trained
from genkit.nn import Net
from genkit.tree import register_dataclass
from genkit_representations.prototypes import Objective

CHUNK = 1024  # samples at a time


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Distilled(Trained):
    """Teacher and student of a self-distillation; what is asked is answered by the teacher, if not said otherwise."""

    net: Net = field(metadata={"static": True})
    """a `Prototyper` for samples of a shape"""
    objective: Objective = field(metadata={"static": True})
    student: Any
    teacher: Any
    centers: Any
    """`cls` (K,), and `patches` (K,) where these count"""
    mean: Any
    """of the training data over all but the last axis"""
    std: Any
    """one number"""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.net.sizes[0]

    def check(self, data: Any) -> None:
        """Refuse samples of another shape."""
        shape = tuple(getattr(data, "shape", self.shape))
        if shape != self.shape:
            raise UsageError(f"{self!r} encodes samples of shape {self.shape}; the data have {shape}")

    def scaled(self, x: Any) -> Any:
        """Samples as the networks see them."""
        return (x - self.mean) / self.std

    def features(self, x: Any) -> np.ndarray:
        """Features (n, d) of samples (n, ...), before the head."""
        return self._map(x, "features")

    def probabilities(self, x: Any) -> np.ndarray:
        """Probabilities (n, K) of prototypes as the teacher gave them at the end of its training.

        Of methods with Sinkhorn those of the softmax, as Sinkhorn's depend on the batch.
        """
        return self._map(x, "probabilities")

    def prototypes(self, network: str = "teacher") -> np.ndarray:
        """Prototypes (K, b) of the teacher or the student."""
        return np.asarray(_prototypes(self.net, getattr(self, network)))

    def _map(self, x: Any, what: str) -> np.ndarray:
        x = np.asarray(x, np.float32)
        self.check(x[0])
        size = min(CHUNK, len(x))
        short = -len(x) % size
        padded = np.concatenate([x, np.repeat(x[-1:], short, 0)]) if short else x
        parts = [_encode(self, padded[i : i + size], what) for i in range(0, len(padded), size)]
        return np.concatenate([np.asarray(part) for part in parts])[: len(x)]


@partial(jax.jit, static_argnames="net")
def _prototypes(net: Net, params: Any) -> Any:
    return net.module(params).head.prototypes()


@partial(jax.jit, static_argnames="what")
def _encode(model: Distilled, x: Any, what: str) -> Any:
    module = model.net.module(model.teacher)
    features, _ = module.encoder(model.scaled(x))
    if what == "features":
        return features
    objective, temperature = model.objective, model.objective.teacher[1]
    head = module.head
    scores = objective.log_probs(head(features), temperature, head.lengths(), head.last.shape[1])
    if objective.target == "centering":
        return objective.targets(scores, model.centers["cls"], temperature)
    return jnp.exp(jax.nn.log_softmax(scores, -1))
