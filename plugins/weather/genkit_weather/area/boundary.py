"""Harmonic extension: the smoothest field in the interior that meets the values of the frame."""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from genkit.errors import UsageError


@dataclass(frozen=True)
class Harmonic:
    """A linear map from the innermost ring of the frame to the interior."""

    grid: tuple[int, int]
    frame: tuple[int, int]
    ring: np.ndarray  # (R,) flat indices of the frame cells that touch the interior
    weights: np.ndarray  # (interior cells, R) float32, rows sum to 1

    def fill(self, field: jax.Array | np.ndarray) -> jax.Array:
        """`field` (..., H, W, V) with its interior replaced by the solution of the 5-point Laplace equation."""
        (h, w), (fy, fx) = self.grid, self.frame
        flat = jnp.reshape(field, (*field.shape[:-3], h * w, field.shape[-1]))
        inner = jnp.einsum("ir,...rv->...iv", self.weights, flat[..., self.ring, :], precision="highest")
        inner = inner.reshape(*field.shape[:-3], h - 2 * fy, w - 2 * fx, field.shape[-1])
        return jnp.asarray(field).at[..., fy : h - fy, fx : w - fx, :].set(inner)


@lru_cache(maxsize=8)
def harmonic(grid: tuple[int, int], frame: tuple[int, int]) -> Harmonic:
    """The extension for a grid (H, W) with frame (fy, fx).

    Every interior cell is the mean of its up to four neighbours, frame cells being given. An edge of the grid
    without frame is free: no flux through it, so that on a row of cells (fy = 0, H = 1) the extension is the
    straight line.
    """
    (h, w), (fy, fx) = grid, frame
    if max(frame) == 0 or 2 * fy >= h or 2 * fx >= w:
        raise UsageError(f"harmonic extension on {h} x {w} cells needs a frame and an interior, got frame {frame}")
    number = np.arange(h * w).reshape(h, w)
    inside = np.zeros((h, w), bool)
    inside[fy : h - fy, fx : w - fx] = True
    pairs = [(number[1:], number[:-1]), (number[:, 1:], number[:, :-1])]
    a = np.concatenate([p.ravel() for one, two in pairs for p in (one, two)])
    b = np.concatenate([p.ravel() for one, two in pairs for p in (two, one)])
    adjacency = sparse.csr_matrix((np.ones(len(a)), (a, b)), shape=(h * w, h * w))
    interior = np.flatnonzero(inside)
    rows = adjacency[interior]
    touched = np.asarray(rows.sum(0)).ravel() > 0
    ring = np.flatnonzero(touched & ~inside.ravel())
    degree = sparse.diags(np.asarray(rows.sum(1)).ravel())
    laplace = sparse.csc_matrix(degree - rows[:, interior])
    weights = splu(laplace).solve(rows[:, ring].toarray())
    return Harmonic(grid, frame, ring, weights.astype(np.float32))
