"""All small molecules: connected multigraphs of C, N, O, F with free valence filled by hydrogen.

Every connected graph has an atom that may be taken away and leaves a connected one, so graphs of n atoms are those of
n - 1 with an atom bonded in every possible way. A graph is named by the least code of its relabellings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genkit_molecules.chemistry.graphs import BONDS, VALENCE, pairs, relabel, sites

CHUNK = 1 << 16


def enumerate_graphs(n: int, elements: tuple[str, ...] = ("C", "N", "O", "F")) -> np.ndarray:
    """Molecules of n atoms up to relabelling, (M, D) uint8, sorted by code; four elements at most."""
    valence = np.array([VALENCE[e] for e in elements])
    x = np.arange(len(elements), dtype=np.uint8)[:, None]
    for size in range(2, n + 1):
        codes = np.concatenate([np.unique(canonical(part, size)) for part in _grown(x, size, valence)])
        x = decode(np.unique(codes), size)
    return x


def canonical(x: np.ndarray, n: int) -> np.ndarray:
    """The least code of each graph (M, D) over all relabellings, (M,) int64."""
    tables, width = _tables(n)
    digits = [_code(x[:, i : i + width], BONDS) for i in range(0, x.shape[1], width)]
    best = np.full(len(x), np.iinfo(np.int64).max)
    for relabelled in tables:
        code = relabelled[0][digits[0]]
        for table, digit in zip(relabelled[1:], digits[1:], strict=True):
            code += table[digit]
        np.minimum(best, code, out=best)
    return best


def decode(codes: np.ndarray, n: int) -> np.ndarray:
    """The graph of each code, (M, D) uint8."""
    power = 2 * np.arange(sites(n))[::-1]
    return ((codes[:, None] >> power) & 3).astype(np.uint8)


def copies(x: np.ndarray, n: int) -> list[np.ndarray]:
    """For each graph (M, D) its distinct relabellings, (n! / automorphisms, D)."""
    power = BONDS ** np.arange(sites(n), dtype=np.int64)[::-1]
    codes = (x[:, None, :] * power[relabel(n)]).sum(-1)
    return [decode(np.unique(row), n) for row in codes]


def _grown(x: np.ndarray, n: int, valence: np.ndarray) -> Iterator[np.ndarray]:
    """Graphs of n - 1 atoms with one more, in chunks, with repetitions."""
    old = n - 1
    ways = np.indices((BONDS,) * old).reshape(old, -1).T
    ways = ways[(ways.sum(1) >= 1) & (ways.sum(1) <= valence.max())]
    first, second = pairs(old).T
    bonds = np.zeros((len(x), old), np.int64)
    for k, (i, j) in enumerate(zip(first, second, strict=True)):
        bonds[:, i] += x[:, old + k]
        bonds[:, j] += x[:, old + k]
    free = valence[x[:, :old]] - bonds
    place = {(i, j): n + k for k, (i, j) in enumerate(pairs(n))}
    kept = [place[i, j] for i, j in pairs(old)]
    new = [place[i, old] for i in range(old)]
    for start in range(0, len(x), max(1, CHUNK // len(ways))):
        part = slice(start, start + max(1, CHUNK // len(ways)))
        graph, way = np.nonzero((ways <= free[part, None]).all(-1))
        for element, most in enumerate(valence):
            ok = ways[way].sum(1) <= most
            grown = np.zeros((int(ok.sum()), sites(n)), np.uint8)
            grown[:, :old] = x[part][graph[ok], :old]
            grown[:, old] = element
            grown[:, kept] = x[part][graph[ok], old:]
            grown[:, new] = ways[way[ok]]
            yield grown


def _tables(n: int) -> tuple[np.ndarray, int]:
    """(n!, pieces, 4^width): what each value of a few neighbouring sites adds to the code of a relabelled graph."""
    d, width = sites(n), min(sites(n), 5)
    moved = relabel(n)
    power = 1 << (2 * (d - 1 - moved).astype(np.int64))
    pieces = []
    for start in range(0, d, width):
        here = power[:, start : start + width]
        values = np.indices((BONDS,) * here.shape[1]).reshape(here.shape[1], -1)
        table = here @ values
        pieces.append(np.pad(table, ((0, 0), (0, BONDS**width - table.shape[1]))))
    return np.stack(pieces, 1), width


def _code(x: np.ndarray, base: int) -> np.ndarray:
    return x.astype(np.int64) @ base ** np.arange(x.shape[1])[::-1]
