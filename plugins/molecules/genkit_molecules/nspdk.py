"""Distances of sets of graphs by pairs of neighbourhoods, in the manner of NSPDK (Costa and De Grave 2010)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from genkit_molecules.chemistry import parallel


def nspdk_like(sample: Sequence[str], reference: Sequence[str]) -> float:
    """Squared maximum mean discrepancy of SMILES by the linear kernel of `pair_features`, biased.

    Published tables use the features of the package EDeN, with hashes of its own: figures are not comparable.
    """
    means = []
    for smiles in (sample, reference):
        total: dict[tuple, float] = defaultdict(float)
        for found in parallel(_features, list(smiles)):
            for key, value in found.items():
                total[key] += value / len(smiles)
        means.append(total)
    a, b = means
    return float(sum((a.get(key, 0.0) - b.get(key, 0.0)) ** 2 for key in {*a, *b}))


def _features(smiles: str) -> dict[tuple, float]:
    return pair_features(Chem.MolFromSmiles(smiles))


def pair_features(mol: Chem.Mol, radius: int = 4, distance: int = 4) -> dict[tuple, float]:
    """Pairs of atoms up to a distance, by what is around each up to a radius: a vector of length 1.

    Each pair (radius, distance) makes a block of counts, which is scaled to length 1 before the whole is.
    """
    n = mol.GetNumAtoms()
    far = Chem.GetDistanceMatrix(mol)
    symbols = [a.GetSymbol() for a in mol.GetAtoms()]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), str(b.GetBondType())) for b in mol.GetBonds()]
    blocks: dict[tuple[int, int], Counter] = defaultdict(Counter)
    for r in range(radius + 1):
        around = [_neighbourhood(v, r, far, symbols, bonds) for v in range(n)]
        for u in range(n):
            for v in range(u, n):
                if far[u, v] <= distance:
                    pair = tuple(sorted((around[u], around[v])))
                    blocks[r, int(far[u, v])][pair] += 1
    scaled: dict[tuple, float] = {}
    for key, block in blocks.items():
        norm = sum(c * c for c in block.values()) ** 0.5
        scaled |= {(*key, *pair): c / norm for pair, c in block.items()}
    return {key: value / len(blocks) ** 0.5 for key, value in scaled.items()}


def _neighbourhood(v: int, r: int, far: np.ndarray, symbols: list[str], bonds: list[tuple[int, int, str]]) -> tuple:
    """The graph within r bonds of an atom, up to what distances from it tell."""
    inside = [(int(far[v, u]), symbols[u]) for u in np.flatnonzero(far[v] <= r)]
    edges = []
    for i, j, kind in bonds:
        if max(far[v, i], far[v, j]) <= r:
            ends = sorted(((int(far[v, i]), symbols[i]), (int(far[v, j]), symbols[j])))
            edges.append((*ends, kind))
    return tuple(sorted(inside)), tuple(sorted(edges))
