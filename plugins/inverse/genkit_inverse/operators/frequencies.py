"""Measurements in frequencies: compressed sensing, magnetic resonance, the size of a Fourier transform alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import DataError, UsageError
from genkit.steer import Function, Operator, function
from genkit.tree import register_dataclass
from genkit_inverse.operators.maps import Gram, gram, hartley
from genkit_inverse.operators.task import Task, check_share
from genkit_inverse.pictures import read_array, read_numbers, said

Array = jax.Array

MOST = 3 * 10**8  # numbers of the matrices of all rows, 1.2 GB


@dataclass(frozen=True)
class CompressedSensing(Task):
    """Some of the Hartley coefficients of the image's numbers under random signs: compressed sensing at any size.

    Rows are orthonormal, and none needs a matrix; `random_matrix` has independent normal entries.
    """

    share: float = 0.25
    """Numbers measured over those of the image."""
    seed: int = 0
    """Of signs and rows."""

    picture = False

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A vector."""
        return (self._rows(shape),)

    def _rows(self, shape: Sequence[int]) -> int:
        return max(1, round(self.share * prod(shape)))

    def build(self, shape: Sequence[int]) -> Gram:
        """The same signs and rows for every image of this shape."""
        check_share(self.share)
        rng, d = np.random.default_rng(self.seed), prod(shape)
        signs = rng.choice([-1.0, 1.0], d)
        rows = np.sort(rng.permutation(d)[: self._rows(shape)]).astype(np.int32)
        turn = Scrambled(signs, tuple(shape))
        return gram(Rows(turn, rows), turn, np.isin(np.arange(d), rows), shape, len(rows))


@dataclass(frozen=True)
class MRI(Task):
    """Magnetic resonance: some of the frequencies of an image, seen by one coil or many.

    An image has one channel, which is real, or two, the real and the imaginary part. A measurement is complex,
    (coils, h, w) with the frequency 0 in the middle (h // 2, w // 2) and the transform orthonormal; what the mask hides
    does not count. One coil has singular values at any mask, many where the mask is of whole columns, at most some 670,
    420 if complex, since each row needs a matrix; else the operator is a function, for methods that need none.
    """

    mask: Path | None = None
    """.npy (h, w) or (w,), or a picture: frequencies that are measured, 0 in the middle; random columns if none."""
    coils: Path | None = None
    """.npy (coils, h, w) complex: sensitivities; one coil of sensitivity 1 if none."""
    acceleration: float = 4.0
    """Columns over those that are measured, without a mask."""
    centre: float = 0.08
    """Share of the columns that is measured in the middle, without a mask."""
    seed: int = 0
    """Of the columns."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.acceleration < 1 or not 0 <= self.centre <= 1:
            raise UsageError(
                f"acceleration={self.acceleration}, centre={self.centre}; expected at least 1, and a share of 0 to 1"
            )

    picture = False

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """(coils, h, w)."""
        return (len(self._coils(shape)), *shape[:2])

    def numbers(self, y: np.ndarray, operator: Operator) -> np.ndarray:
        """Those at the measured frequencies, real and then imaginary parts."""
        if not np.iscomplexobj(y):
            raise UsageError("the frequencies of an MRI are real numbers; expected complex ones, (coils, h, w)")
        seen = np.broadcast_to(self.sampled(operator.shape), y.shape)
        return np.concatenate([np.real(y[seen]), np.imag(y[seen])])

    def build(self, shape: Sequence[int]) -> Operator:
        """By singular values where they are known."""
        h, w, c = shape
        if c not in (1, 2):
            raise UsageError(f"{c} channels; expected one, real, or two, the real and the imaginary part")
        seen, coils = self.sampled(shape), self._coils(shape)
        forth = Frequencies(np.flatnonzero(np.broadcast_to(seen, coils.shape)).astype(np.int32), coils)
        size = 2 * len(forth.rows)
        if self.coils is None:
            uncentred = np.fft.ifftshift(seen).astype(float)
            if c == 2:
                return gram(forth, Fourier(tuple(shape)), np.repeat(uncentred[..., None], 2, -1), shape, size)
            mirrored = np.roll(uncentred[::-1, ::-1], (1, 1), (0, 1))  # of a real image -k says what k says
            return gram(forth, Hartley(tuple(shape)), (uncentred + mirrored) / 2, shape, size)
        if (seen == seen[:1]).all() and h * (w * c) ** 2 <= MOST:
            vectors, squares = _row_vectors(seen[0], coils, c)
            return gram(forth, Blocks(vectors, tuple(shape)), squares, shape, size)
        return Function(forth, tuple(shape), size)

    def sampled(self, shape: Sequence[int]) -> np.ndarray:
        """(h, w) bool, frequencies that are measured."""
        h, w = shape[:2]
        if self.mask is None:
            rng, middle = np.random.default_rng(self.seed), round(self.centre * w)
            some = np.zeros(w, bool)
            some[w // 2 - middle // 2 : w // 2 - middle // 2 + middle] = True
            more = max(0, round(w / self.acceleration) - middle)
            some[rng.choice(np.flatnonzero(~some), more, replace=False)] = True
            seen = np.broadcast_to(some, (h, w))
        else:
            found = read_numbers(self.mask)
            found = found[..., 0] if found.ndim == 3 and found.shape[-1] == 1 else found
            if found.shape not in ((h, w), (w,)):
                raise DataError(f"{self.mask} is {said(found.shape)}; expected {h} x {w} frequencies, or {w} columns")
            if np.iscomplexobj(found) or not np.isfinite(found).all():
                raise DataError(f"{self.mask} has complex, NaN or infinite numbers; expected true and false, or 0 to 1")
            seen = np.broadcast_to(found > 0.5, (h, w))
        if not seen.any():
            raise UsageError("the mask measures no frequency; at least one must be")
        return seen

    def _coils(self, shape: Sequence[int]) -> np.ndarray:
        h, w = shape[:2]
        if self.coils is None:
            return np.ones((1, h, w), np.complex64)
        found = read_array(self.coils)
        if found.ndim != 3 or found.shape[1:] != (h, w) or not np.isfinite(found).all():
            raise DataError(f"{self.coils} is {said(found.shape)}; expected finite sensitivities, coils x {h} x {w}")
        return found.astype(np.complex64)


@dataclass(frozen=True)
class PhaseRetrieval(Task):
    """The sizes of the Fourier coefficients of an image in a dark frame; their phases are lost.

    An image and its half turn measure the same, as do shifts of one with dark margins; the sign is known, since light
    is not negative. Only the prior tells them apart.
    """

    oversampling: float = 2.0
    """Side of the framed image over that of the image; below 2 an image is not determined."""
    range: tuple[float, float] = (-1.0, 1.0)
    """Black and white of the images."""

    picture = False

    def layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """(h', w', c) of the framed image, frequency 0 first."""
        return (*(self._side(n) for n in shape[:2]), shape[2])

    def alike(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """And the half turn."""
        return x, x[:, ::-1, ::-1]

    def build(self, shape: Sequence[int]) -> Function:
        """Orthonormal transform of the brightness from 0 to 1."""
        if self.oversampling < 1 or not self.range[0] < self.range[1]:
            raise UsageError(
                f"oversampling={self.oversampling}, range={self.range}; expected at least 1, black below white"
            )
        frame = [(0, self._side(n) - n) for n in shape[:2]]
        return function(Sizes(*self.range, tuple(frame)), shape)

    def _side(self, n: int) -> int:
        return ceil(self.oversampling * n)


# what is measured, as pytrees


@register_dataclass
@dataclass(frozen=True)
class Frequencies:
    """(n, h, w, 1 or 2) to real and imaginary parts of some of the frequencies of every coil, (n, 2 m)."""

    rows: Any
    """(m,) int, places in (coils, h, w)"""
    coils: Any
    """(coils, h, w) complex"""

    def __call__(self, x: Array) -> Array:
        """Centred and orthonormal."""
        z = x[..., 0] if x.shape[-1] == 1 else jax.lax.complex(x[..., 0], x[..., 1])
        z = z[:, None] * jnp.asarray(self.coils, jnp.result_type(x.dtype, jnp.complex64))
        f = jnp.fft.fft2(jnp.fft.ifftshift(z, (2, 3)), norm="ortho")
        y = jnp.fft.fftshift(f, (2, 3)).reshape(len(x), -1)[:, self.rows]
        return jnp.concatenate([y.real, y.imag], 1).astype(x.dtype)


@register_dataclass
@dataclass(frozen=True)
class Rows:
    """Some coordinates of a turned image."""

    turn: Any
    rows: Any

    def __call__(self, x: Array) -> Array:
        """(n, len(rows))."""
        return self.turn(x)[:, self.rows]


@register_dataclass
@dataclass(frozen=True)
class Sizes:
    """|F x| of an image in a dark frame; its slope at 0 is 0."""

    low: float
    high: float
    frame: tuple[tuple[int, int], ...] = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """(n, h', w', c)."""
        light = jnp.pad((x - self.low) / (self.high - self.low), ((0, 0), *self.frame, (0, 0)))
        f = jnp.fft.fft2(light, axes=(1, 2), norm="ortho")
        square = (f.real**2 + f.imag**2).astype(x.dtype)
        return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


# orthogonal transforms, as pytrees: V^T by a call, V by `back`


@register_dataclass
@dataclass(frozen=True)
class Hartley:
    """Real images (h, w, 1): real minus imaginary parts of their frequencies, its own inverse."""

    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """(n, d)."""
        return hartley(x).reshape(len(x), -1)

    def back(self, z: Array) -> Array:
        """(n, *shape)."""
        return hartley(z.reshape(-1, *self.shape))


@register_dataclass
@dataclass(frozen=True)
class Fourier:
    """Complex images (h, w, 2): real and imaginary parts of their frequencies."""

    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """(n, d)."""
        return _parts(jnp.fft.fft2(jax.lax.complex(x[..., 0], x[..., 1]), norm="ortho")).reshape(len(x), -1)

    def back(self, z: Array) -> Array:
        """(n, *shape)."""
        z = z.reshape(-1, *self.shape)
        return _parts(jnp.fft.ifft2(jax.lax.complex(z[..., 0], z[..., 1]), norm="ortho"))


@register_dataclass
@dataclass(frozen=True)
class Blocks:
    """An orthogonal matrix for every row of an image."""

    vectors: Any
    """(h, w c, w c), columns are coordinates"""
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """(n, d)."""
        rows = x.reshape(len(x), self.shape[0], -1)
        return jnp.einsum("nha,hab->nhb", rows, jnp.asarray(self.vectors, x.dtype)).reshape(len(x), -1)

    def back(self, z: Array) -> Array:
        """(n, *shape)."""
        rows = z.reshape(len(z), self.shape[0], -1)
        return jnp.einsum("nhb,hab->nha", rows, jnp.asarray(self.vectors, z.dtype)).reshape(-1, *self.shape)


@register_dataclass
@dataclass(frozen=True)
class Scrambled:
    """The Hartley transform of an image's numbers as one series, each times its sign."""

    signs: Any
    """(d,)"""
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, x: Array) -> Array:
        """(n, d)."""
        return _series(x.reshape(len(x), -1) * jnp.asarray(self.signs, x.dtype))

    def back(self, z: Array) -> Array:
        """(n, *shape)."""
        return (_series(z) * jnp.asarray(self.signs, z.dtype)).reshape(-1, *self.shape)


def _series(x: Array) -> Array:
    f = jnp.fft.fft(x, norm="ortho")
    return (f.real - f.imag).astype(x.dtype)


def _parts(f: Array) -> Array:
    return jnp.stack([f.real, f.imag], -1)


def _row_vectors(seen: np.ndarray, coils: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors (h, w c, w c) and eigenvalues (h, w c) of A^T A for columns `seen` (w,), a row of the image each.

    Along its columns the transform is orthogonal, so that rows are measured apart from each other.
    """
    w = len(seen)
    along = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(np.eye(w), 0), axis=0, norm="ortho"), 0)[seen]
    product = np.einsum("cha,chb->hab", coils.conj(), coils) * (along.conj().T @ along)
    real, imag = product.real, product.imag
    if channels == 2:  # (re, im) of a cell side by side
        real = np.stack([np.stack([real, -imag], -1), np.stack([imag, real], -1)], 2).reshape(len(real), 2 * w, 2 * w)
    squares, vectors = np.linalg.eigh(real)
    return vectors.astype(np.float32), squares
