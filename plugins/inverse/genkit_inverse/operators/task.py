"""What measurements of images have in common."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from genkit.errors import UsageError
from genkit.steer import Mask, Operator


class Task:
    """Base of measurements of images, frozen dataclasses with `build`: how a measurement lies in a file."""

    picture: ClassVar[bool] = True
    """Whether a measurement is a picture, in the units of the image."""

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of a measurement of images (h, w, c): here theirs, of which a mask hides a part."""
        return tuple(shape)

    def alike(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images x (n, h, w, c), and others of them that any operator of this task measures the same."""
        return (x,)

    def numbers(self, y: np.ndarray, operator: Operator) -> np.ndarray:
        """The (m,) numbers that the operator measures, of such an array."""
        y = y.reshape(-1)
        return y[np.asarray(operator.order)[: operator.size]] if isinstance(operator, Mask) else y


def pictured(task: Any, operator: Operator) -> bool:
    """Whether a measurement is a picture; of other components than a `Task`, where it has the numbers of an image."""
    return task.picture if isinstance(task, Task) else operator.size == prod(operator.shape)


def check_share(share: float) -> None:
    """Refuse what is no share of something."""
    if not 0 < share < 1:
        raise UsageError(f"share={share} must lie between 0 and 1")
