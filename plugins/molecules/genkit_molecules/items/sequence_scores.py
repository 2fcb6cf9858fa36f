"""Scores of protein sequences beside a family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from genkit.errors import UsageError
from genkit_molecules.items.rows import AMINO, GAP


def scores(sample: Sequence[str], reference: Sequence[str], train: Sequence[str] = (), k: int = 3) -> dict[str, float]:
    """How like a family a sample is.

    aa_KL: divergence of the letters' frequencies, reference to sample, nats. pair_TV: total variation of the letters of
    neighbours. kmer_JS: Jensen-Shannon divergence of k-mers without gaps, nats, from 0 to log 2. nearest_identity: mean
    over the sample of the largest fraction of equal letters with a training sequence; diversity: 1 - that of two of
    the sample, a mean over pairs. unique and novel are shares.
    """
    if not sample or not reference:
        raise UsageError(f"{len(sample)} and {len(reference)} sequences to compare; expected some of each")
    train = train or reference
    letters = sorted(set("".join((*sample, *reference))))
    distinct, known = set(sample), set(train)
    ours, theirs = aligned(sample), aligned(train)
    return {
        "aa_KL": _kl(_frequencies(reference, letters), _frequencies(sample, letters)),
        "pair_TV": _variation(_counts(reference, 2), _counts(sample, 2)),
        f"{k}mer_JS": jensen_shannon(_counts(reference, k), _counts(sample, k)),
        "nearest_identity": float(np.mean([identity(row, theirs).max() for row in ours])),
        "diversity": 1 - float(np.mean([np.delete(identity(row, ours), i).mean() for i, row in enumerate(ours)]))
        if len(ours) > 1
        else float("nan"),
        "unique": len(distinct) / len(sample),
        "novel": len(distinct - known) / len(distinct),
    }


# Hydropathy of Kyte and Doolittle 1982 (J. Mol. Biol. 157, 105), in the order of AMINO.
HYDROPATHY = (1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8, 1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9,
              -1.3)  # fmt: skip
# Average masses of the residues, g/mol.
MASS = (71.0788, 103.1388, 115.0886, 129.1155, 147.1766, 57.0519, 137.1411, 113.1594, 128.1741, 113.1594, 131.1926,
        114.1038, 97.1167, 128.1307, 156.1875, 87.0782, 101.1051, 99.1326, 186.2132, 163.1760)  # fmt: skip
WATER = 18.0153


def property_of(texts: Sequence[str], name: str) -> np.ndarray:
    """A property (M,) of sequences, whose gaps count as nothing.

    hydropathy: GRAVY, the mean hydropathy of the residues. charge: K and R less D and E. weight: of the peptide, g/mol.
    aromatic: share of F, W and Y. length: residues.
    """
    counts = np.array([[text.count(letter) for letter in AMINO] for text in texts], float).reshape(-1, len(AMINO))
    size = counts.sum(1)

    def of(letters: str) -> np.ndarray:
        return counts[:, [AMINO.index(letter) for letter in letters]].sum(1)

    known = {
        "hydropathy": counts @ HYDROPATHY / np.maximum(size, 1),
        "charge": of("KR") - of("DE"),
        "weight": np.where(size > 0, counts @ MASS + WATER, 0.0),
        "aromatic": of("FWY") / np.maximum(size, 1),
        "length": size,
    }
    if name not in known:
        raise UsageError(f"property {name!r}; expected {', '.join(known)}")
    return known[name]


def aligned(texts: Sequence[str]) -> np.ndarray:
    """Rows (M, L) of letters; short ones end in spaces."""
    width = max(map(len, texts))
    return np.array([list(text.ljust(width)) for text in texts])


def identity(row: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Fraction of places with equal letters, (M,), of those where one of both has a letter."""
    width = min(len(row), rows.shape[1])
    nothing = np.isin(rows, (" ", GAP))
    own = np.isin(row, (" ", GAP))
    equal = ((row[:width] == rows[:, :width]) & ~own[:width]).sum(1)
    either = (~own[:width] | ~nothing[:, :width]).sum(1) + (~own[width:]).sum() + (~nothing[:, width:]).sum(1)
    return equal / np.maximum(either, 1)


def jensen_shannon(a: Counter, b: Counter) -> float:
    """Of two tables of counts, nats."""
    keys = sorted(set(a) | set(b))
    p, q = (np.array([c[key] for key in keys], float) / max(sum(c.values()), 1) for c in (a, b))
    middle = (p + q) / 2
    return float(sum((r[r > 0] * np.log(r[r > 0] / middle[r > 0])).sum() for r in (p, q)) / 2)


def _counts(texts: Sequence[str], k: int) -> Counter:
    plain = [text.replace(GAP, "") for text in texts]
    return Counter(text[i : i + k] for text in plain for i in range(len(text) - k + 1))


def _frequencies(texts: Sequence[str], letters: Sequence[str]) -> np.ndarray:
    found = Counter("".join(texts))
    counts = np.array([found[letter] for letter in letters], float) + 1e-10
    return counts / counts.sum()


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum())


def _variation(a: Counter, b: Counter) -> float:
    keys = set(a) | set(b)
    return 0.5 * sum(abs(a[k] / max(sum(a.values()), 1) - b[k] / max(sum(b.values()), 1)) for k in keys)
