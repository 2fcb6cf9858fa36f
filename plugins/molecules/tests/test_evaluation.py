"""Scores of samples: the published golden case of MOSES, and closed forms."""

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_molecules.evaluation import basic, cosine, frechet, guacamol_kl, moses

TEST = ["Oc1ccccc1-c1cccc2cnccc12", "COc1cccc(NC(=O)Cc2coc3ccc(OC)cc23)c1"]
GEN = ["CNC", "Oc1ccccc1-c1cccc2cnccc12", "INVALID", "CCCP",
       "Cc1noc(C)c1CN(C)C(=O)Nc1cc(F)cc(F)c1", "Cc1nc(NCc2ccccc2)no1-c1ccccc1"]  # fmt: skip


def test_golden_case_of_moses():
    found = moses(GEN, TEST)
    expected = {"SNN": 0.31525856, "IntDiv": 0.71891873, "Frag": 0.3, "Scaf": 0.5, "Filters": 0.75, "logP": 1.63229,
                "QED": 0.20370892, "weight": 106.87}  # fmt: skip
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name
    assert basic(GEN, TEST)["validity"] == pytest.approx(2 / 3)


def test_shares():
    found = basic(["CO", "OC", "C.C", None, "CC", "C1"], train=["CC"])
    expected = {
        "validity": 4 / 6,
        "connected": 3 / 6,
        "uniqueness": 3 / 4,
        "novelty": 2 / 3,
        "valid_unique_novel": 1 / 6,
    }
    assert found == pytest.approx(expected)
    nothing = basic([None, None])
    assert nothing["validity"] == 0 and np.isnan(nothing["uniqueness"])
    with pytest.raises(UsageError, match="no molecules"):
        basic([])
    with pytest.raises(UsageError, match="no valid molecules"):
        moses([None], TEST)


def test_divergences_of_descriptors():
    """Zero, and a score of one, for the set itself."""
    same = guacamol_kl(GEN, GEN)
    assert same["score"] == pytest.approx(1) and len(same) == 11
    other = guacamol_kl(["CCO", "CCCO", "CCCCN", "c1ccccc1"], GEN)
    assert 0 < other["score"] < 0.9
    with pytest.raises(UsageError, match="at least 3"):
        guacamol_kl(["C"], GEN)


def test_cosine_and_frechet():
    assert cosine({"a": 3, "b": 4}, {"b": 2}) == pytest.approx(0.8) and cosine({}, {"b": 2}) == 0
    rng = np.random.default_rng(0)
    d, a, s = 3, np.array([1.0, 0, 2]), 1.5
    x = rng.normal(size=(4000, d))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T  # N(0, I) to the digit
    assert frechet(x, a + s * x) == pytest.approx(a @ a + d * (1 - s) ** 2)
