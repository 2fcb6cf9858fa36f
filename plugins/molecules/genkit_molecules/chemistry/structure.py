"""Structural features of noisy graphs, as in DiGress (arXiv 2209.14734, appendix B): cycles, spectrum, valence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap

from genkit_molecules.chemistry.graphs import symbol_and_charge, valence

Array = jax.Array
MASS = {"H": 1.008, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998, "Si": 28.085, "P": 30.974,
        "S": 32.06, "Cl": 35.45, "Br": 79.904, "I": 126.904}  # fmt: skip
ATOM, GRAPH = 3 + 3 + 2, 1 + 4 + 6 + 1  # number of features of an atom and of the graph


def features(atoms: Array, orders: Array, mask: Array, elements: tuple[str, ...]) -> tuple[Array, Array]:
    """Features of atoms (B, n, ATOM) and graphs (B, GRAPH).

    Args:
        atoms: (B, n) int, elements; larger numbers are hidden and count as nothing.
        orders: (B, n, n) int, bond orders, symmetric; 4 is hidden and counts as no bond.
        mask: (B, n) bool, atoms that are real.
        elements: symbols.
    """
    real = mask[:, :, None] & mask[:, None, :]
    order = jnp.where(real & (orders < 4), orders, 0).astype(float)
    a = (order > 0).astype(float)
    x_cycles, y_cycles = cycles(a)
    x_spectrum, y_spectrum = spectrum(a, mask)
    known = jnp.append(jnp.array([valence(e) for e in elements], float), 0.0)
    mass = jnp.append(jnp.array([MASS[symbol_and_charge(e)[0]] for e in elements]), 0.0)
    kind = jnp.minimum(atoms, len(elements))
    bonds = order.sum(-1)
    free = jnp.where(kind < len(elements), known[kind] - bonds, 0.0)
    weight = jnp.where(mask, mass[kind], 0.0).sum(1, keepdims=True) / 100
    x = jnp.concatenate([jnp.minimum(x_cycles / 10, 1), x_spectrum, jnp.stack([bonds, free], -1)], -1)
    size = mask.sum(1, keepdims=True) / 10
    y = jnp.concatenate([size, jnp.minimum(y_cycles / 10, 1), y_spectrum, weight], -1)
    return jnp.where(mask[..., None], x, 0.0), y


def cycles(a: Array) -> tuple[Array, Array]:
    """Cycles of length 3, 4, 5 through each vertex (B, n, 3), of 3 to 6 in all (B, 4), of adjacencies (B, n, n)."""
    d = a.sum(-1)
    a2 = a @ a
    a3 = a2 @ a
    a4 = a2 @ a2
    a5 = a4 @ a
    t = _diagonal(a3)
    square = _diagonal(a4) - d * (d - 1) - (a * d[:, None]).sum(-1)
    five = _diagonal(a5) - 2 * t * d - (a * t[:, None]).sum(-1) + 5 * t - 2 * (a * a2 * d[:, None]).sum(-1)
    c4 = _diagonal(a4)
    # closed walks of six steps, less those that meet a vertex twice (Harary and Manvel 1971)
    six = (
        (a3 * a3).sum((1, 2)) - 3 * (t**2).sum(1) + 9 * (a * a2**2).sum((1, 2)) - 6 * (d * c4).sum(1)
        + 6 * c4.sum(1) - 4 * t.sum(1) + 4 * (d**3).sum(1) + 3 * a3.sum((1, 2))
        - 12 * (d**2).sum(1) + 4 * d.sum(1)
    ) / 12  # fmt: skip
    x = jnp.stack([t / 2, square / 2, five / 2], -1)
    return x, jnp.concatenate([x.sum(1) / jnp.array([3.0, 4.0, 5.0]), six[:, None]], -1)


def spectrum(a: Array, mask: Array, values: int = 5) -> tuple[Array, Array]:
    """Of the Laplacian, features (B, n, 3) and (B, 1 + values).

    By vertex whether it is in the largest component, and the diagonal of the heat kernel exp(-s L) at s = 1 and 4, in
    place of the paper's eigenvectors, whose sign is arbitrary, and all of them where eigenvalues coincide; by graph the
    number of components and the first values above zero.
    """
    n = a.shape[1]
    laplacian = jnp.eye(n) * a.sum(-1)[..., None] - a
    # vertices that are not real come last
    laplacian = laplacian + jnp.eye(n) * jnp.where(mask, 0.0, 2.0 * n)[..., None]
    value, vector = _eigh(laplacian)
    zero = value < 1e-4
    components = zero.sum(1, keepdims=True)
    place = components + jnp.arange(values)
    found = jnp.take_along_axis(value, jnp.minimum(place, n - 1), 1)
    found = jnp.where(place < mask.sum(1, keepdims=True), found, 0.0)
    heat = jnp.stack([(vector**2 * jnp.exp(-s * value)[:, None]).sum(-1) for s in (1.0, 4.0)], -1)
    reach = (jnp.einsum("bik,bjk->bij", jnp.where(zero[:, None], vector, 0), vector) > 1e-3).sum(-1)
    largest = (reach == reach.max(1, keepdims=True)).astype(float)[..., None]
    return jnp.concatenate([largest, heat], -1), jnp.concatenate([components / 10, found], -1)


def _eigh(a: Array) -> tuple[Array, Array]:
    """Eigenvalues and vectors of matrices (B, n, n).

    On a CPU one matrix at a time, under `jax.vmap` too: on a batch LAPACK waits for threads of the pool that it holds,
    two such calls for ever.
    """
    return jax.lax.platform_dependent(a, cpu=jax.vmap(_eigh_alone), default=_eigh_of_many)


def _eigh_of_many(a: Array) -> tuple[Array, Array]:
    return tuple(jnp.linalg.eigh(a))


_eigh_alone = sequential_vmap(_eigh_of_many)


def _diagonal(a: Array) -> Array:
    return jnp.diagonal(a, axis1=1, axis2=2)
