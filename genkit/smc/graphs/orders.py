"""In which order the variables of a graphical model get their values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from genkit.errors import UsageError

Neighbours = Sequence[set[int]]


def given(neighbours: Neighbours, rng: np.random.Generator) -> list[int]:
    """As they are numbered."""
    return list(range(len(neighbours)))


def random(neighbours: Neighbours, rng: np.random.Generator) -> list[int]:
    """At random."""
    return rng.permutation(len(neighbours)).tolist()


def breadth_first(neighbours: Neighbours, rng: np.random.Generator) -> list[int]:
    """From variable 0 outward; the diagonals of a lattice."""
    found: list[int] = []
    seen: set[int] = set()
    for root in range(len(neighbours)):
        queue = [] if root in seen else [root]
        seen.update(queue)
        for v in queue:  # grows
            new = sorted(neighbours[v] - seen)
            seen.update(new)
            queue.extend(new)
        found.extend(queue)
    return found


def random_neighbour(neighbours: Neighbours, rng: np.random.Generator) -> list[int]:
    """Each next to those before it, at random (Naesseth, Lindsten, Schon 2014)."""
    left, near, found = set(range(len(neighbours))), set[int](), []
    while left:
        v = int(rng.choice(sorted(near or left)))
        left.remove(v)
        near = (near | neighbours[v]) & left
        found.append(v)
    return found


def least_degree(neighbours: Neighbours, rng: np.random.Generator) -> list[int]:
    """The reverse of eliminating in each step a variable with the fewest neighbours left; of a tree root to leaves."""
    near = [set(n) for n in neighbours]
    left, found = set(range(len(near))), []
    while left:
        v = min(left, key=lambda i: (len(near[i]), i))
        left.remove(v)
        for i in near[v]:
            near[i] = (near[i] | near[v]) - {i, v}
        found.append(v)
    return found[::-1]


ORDERS: dict[str, Callable[[Neighbours, np.random.Generator], list[int]]] = {
    order.__name__: order for order in (given, breadth_first, least_degree, random, random_neighbour)
}


def variable_order(name: str, neighbours: Neighbours, seed: int = 0) -> tuple[int, ...]:
    """One of `ORDERS`: V variables, from the first that gets its value to the last, which is eliminated first.

    Args:
        name: of the order.
        neighbours: for each variable those that share a factor with it.
        seed: for orders at random.
    """
    if name not in ORDERS:
        raise UsageError(f"unknown order {name!r}; known are {', '.join(ORDERS)}")
    return tuple(ORDERS[name](neighbours, np.random.default_rng(seed)))


def check_order(order: Sequence[int] | None, v: int) -> np.ndarray:
    """The order as an array (V,); None is as numbered. Refuses what is no permutation."""
    found = np.arange(v) if order is None else np.asarray(order, int)
    if found.shape != (v,) or (np.sort(found) != np.arange(v)).any():
        raise UsageError(f"order has {len(found)} entries; expected each of the variables 0..{v - 1} once")
    return found
