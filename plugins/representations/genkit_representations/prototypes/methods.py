"""Methods of self-distillation as one objective with their published numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_representations.prototypes.losses import distillation, masked_patches, me_max, moved, sinkhorn
from genkit_representations.prototypes.spread import koleo
from genkit_representations.prototypes.vmf import log_constant

Array = Any
Method = Literal["centering", "sinkhorn", "swav", "me_max", "vmf", "ibot", "dinov2"]


@register_dataclass
@dataclass(frozen=True)
class Output:
    """What a network makes of views (V, B, ...)."""

    features: Any
    """(V, B, d), before the head"""
    logits: Any
    """(V, B, K), products with the prototypes"""
    patches: Any = None
    """(V, B, T, K) of the patches, where they are asked for"""


@dataclass(frozen=True)
class Objective:
    """What the student learns from the teacher; made by `objective`."""

    target: Literal["centering", "sinkhorn", "plain"] = "centering"
    """How the teacher's probabilities are kept from being all the same."""
    student: float = 0.1
    """Temperature of the student."""
    teacher: tuple[float, float] = (0.04, 0.04)
    """Temperature of the teacher, before and after its rise."""
    center: float = 0.9
    """Momentum of the centre."""
    iterations: int = 3
    """Of Sinkhorn-Knopp."""
    me_max: float = 0.0
    """Weight of the entropy of the mean probability."""
    patches: float = 0.0
    """Weight of the masked patches."""
    patch_teacher: tuple[float, float] = (0.04, 0.07)
    """Temperature of the teacher on patches."""
    koleo: float = 0.0
    """Weight of the spread of the student's features, in each global view."""
    vmf: bool = False
    """Prototypes of free lengths as a mixture of von Mises-Fisher distributions (arXiv 2405.10939)."""
    same: bool = True
    """Whether the student sees the teacher's views too, as in DINO; in MSN it does not."""
    momentum: tuple[float, float] = (0.996, 1.0)
    """Momentum of the teacher's weights, first and last; 0 is the student itself."""

    def log_probs(self, logits: Array, temperature: Any, lengths: Array, dim: int) -> Array:
        """Unnormalised log-probabilities (..., K) of prototypes with `lengths` (K,) in R^dim."""
        scaled = jnp.asarray(logits, jnp.float32) / temperature
        return scaled + log_constant(lengths / temperature, dim) if self.vmf else scaled

    def targets(self, scores: Array, center: Array, temperature: Any) -> Array:
        """Probabilities (..., B, K) of the teacher from `log_probs`; Sinkhorn takes all rows together."""
        if self.target == "sinkhorn":
            return sinkhorn(scores.reshape(-1, scores.shape[-1]), self.iterations).reshape(scores.shape)
        if self.target == "plain":
            return jax.nn.softmax(scores, -1)
        # of a mixture the prior is taken out of the probabilities, else the mean of the logits
        tiny = jnp.finfo(jnp.float32).tiny  # a prior of 0 would make the target NaN
        shift = jnp.log(jnp.maximum(center, tiny)) if self.vmf else center / temperature
        return jax.nn.softmax(scores - shift, -1)

    def first_center(self, prototypes: int) -> Array:
        """The centre (K,) before training."""
        return jnp.full(prototypes, 1 / prototypes) if self.vmf else jnp.zeros(prototypes)

    def next_center(self, center: Array, logits: Array, scores: Array) -> Array:
        """The centre after a step, from the teacher's logits before the temperature; of a mixture from its
        probabilities."""
        return moved(center, jax.nn.softmax(scores, -1) if self.vmf else logits, self.center)

    def __call__(
        self,
        student: Output,
        teacher: Output,
        centers: dict[str, Array],
        temperatures: tuple[Any, Any],
        lengths: tuple[Array, Array],
        dim: int,
        mask: Array | None = None,
    ) -> tuple[Array, dict[str, Array], dict[str, Array]]:
        """Loss, centres after the step, and its parts.

        Args:
            student: of V views; the first are the teacher's where `same`.
            teacher: of G views, without gradient.
            centers: `cls` (K,), and `patches` (K,) where these count.
            temperatures: of the teacher, on images and on patches.
            lengths: of the student's and of the teacher's prototypes, (K,) each.
            dim: of the prototypes.
            mask: patches (G, B, T) that are hidden from the student, bool.
        """
        scores = self.log_probs(teacher.logits, temperatures[0], lengths[1], dim)
        targets = self.targets(scores, centers["cls"], temperatures[0])
        logs = jax.nn.log_softmax(self.log_probs(student.logits, self.student, lengths[0], dim), -1)
        parts = {"distillation": distillation(targets, logs, self.same)}
        total = parts["distillation"]
        after = {"cls": self.next_center(centers["cls"], teacher.logits, scores)}
        if self.me_max:
            parts["me_max"] = me_max(jnp.exp(logs))
            total += self.me_max * parts["me_max"]
        if self.patches:
            count = teacher.logits.shape[0]
            scores = self.log_probs(teacher.patches, temperatures[1], lengths[1], dim)
            targets = self.targets(scores, centers["patches"], temperatures[1])
            logs = jax.nn.log_softmax(self.log_probs(student.patches[:count], self.student, lengths[0], dim), -1)
            parts["patches"] = masked_patches(targets, logs, mask)
            total += self.patches * parts["patches"]
            after["patches"] = self.next_center(centers["patches"], teacher.patches, scores)
        if self.koleo:
            each = [koleo(view) for view in student.features[: teacher.logits.shape[0]]]
            parts["koleo"] = jnp.stack(each).sum()
            total += self.koleo * parts["koleo"]
        return total, jax.lax.stop_gradient(after), parts


def objective(method: Method) -> Objective:
    """A method with its published numbers.

    centering: DINO. sinkhorn: DINO with Sinkhorn-Knopp, as DINOv2 has by choice. swav: codes of the student itself.
    me_max: MSN, whose sharpening of softmax(l / .1) by T = .25 is a temperature of .025. vmf: DINO-vMF. ibot: with
    masked patches. dinov2: Sinkhorn, patches, and features spread out.
    """
    known = {
        "centering": Objective(),
        "sinkhorn": Objective("sinkhorn"),
        "swav": Objective("sinkhorn", teacher=(0.05, 0.05), momentum=(0.0, 0.0)),
        "me_max": Objective("plain", teacher=(0.025, 0.025), me_max=1.0, same=False),
        "vmf": Objective(vmf=True),
        "ibot": Objective(patches=1.0),
        "dinov2": Objective("sinkhorn", teacher=(0.04, 0.07), patches=1.0, koleo=0.1, momentum=(0.992, 1.0)),
    }
    if method not in known:
        raise UsageError(f"no method {method!r}; there are {', '.join(known)}")
    return known[method]
