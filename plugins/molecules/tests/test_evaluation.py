"""Scores of samples: the published golden case of MOSES, and closed forms."""

import json
import re
import sys
from collections import Counter

import numpy as np
import pytest
from rdkit import Chem

from genkit.cli import main
from genkit.errors import UsageError
from genkit_molecules.evaluation import (
    basic,
    canonical,
    cosine,
    fcd,
    frechet,
    frechet_descriptors,
    guacamol_kl,
    moses,
    property_of,
    protocol,
)
from genkit_molecules.items import AMINO, sequence_scores
from genkit_molecules.items.sequence_scores import jensen_shannon, scores
from genkit_molecules.nspdk import nspdk_like, pair_features

TEST = ["Oc1ccccc1-c1cccc2cnccc12", "COc1cccc(NC(=O)Cc2coc3ccc(OC)cc23)c1"]
GEN = ["CNC", "Oc1ccccc1-c1cccc2cnccc12", "INVALID", "CCCP",
       "Cc1noc(C)c1CN(C)C(=O)Nc1cc(F)cc(F)c1", "Cc1nc(NCc2ccccc2)no1-c1ccccc1"]  # fmt: skip


def test_golden_case_of_moses():
    found = moses(GEN, TEST)
    expected = {"SNN": 0.31525856, "IntDiv": 0.71891873, "Frag": 0.3, "Scaf": 0.5, "Filters": 0.75, "W1_logP": 1.63229,
                "W1_QED": 0.20370892, "W1_weight": 106.87}  # fmt: skip
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-5), name
    assert basic(GEN, TEST)["validity"] == pytest.approx(2 / 3)


def test_shares():
    found = basic(["CO", "OC", "C.C", None, "CC", "C1"], train=["CC"])
    expected = {
        "validity": 4 / 6, "connected": 3 / 6, "uniqueness": 3 / 4, "novelty": 2 / 3, "uniqueness_connected": 2 / 3,
        "novelty_connected": 1 / 2, "valid_unique_novel": 1 / 6, "unique@1000": 3 / 4, "unique@10000": 3 / 4,
        "validity_se": (8 / 6**3) ** 0.5, "connected_se": (9 / 6**3) ** 0.5, "novelty_se": (2 / 3**3) ** 0.5,
    }  # fmt: skip
    assert found == pytest.approx(expected)
    assert basic(["OCC"], ["C(O)C"])["novelty"] == 0  # the training set need not be canonical
    assert canonical("[2H]C[C@H](N)[OH:1]") == ("[2H]C[C@H](N)[OH:1]", "CC(N)O") and canonical("[H]CO") == ("CO", "CO")
    alike = basic(["C[C@H](N)O", "C[C@@H](N)O", "F/C=C/F"], ["FC=CF"])
    assert alike["uniqueness"] == pytest.approx(2 / 3) and alike["novelty"] == 0.5 and alike["unique@1000"] == 1
    assert basic(["C", "C", "N"] * 400)["unique@1000"] == 2 / 1000
    nothing = basic([None, None])
    assert nothing["validity"] == 0 and np.isnan(nothing["uniqueness"])
    with pytest.raises(UsageError, match="no molecules"):
        basic([])
    with pytest.raises(UsageError, match="no valid molecules"):
        moses([None], TEST)


def test_a_protocol(tmp_path, capsys, monkeypatch):
    """Novelty needs a training set, distances a reference; a file is scored as its molecules are."""
    reference = [*TEST, "CCO"]
    found = protocol(GEN, reference, ["CNC"], TEST[:1])
    assert found["novelty"] == 3 / 4 and found["SNN"] == moses(GEN, reference)["SNN"]
    assert found["SNN/TestSF"] <= found["SNN"] and found["Scaf/TestSF"] > found["Scaf"]
    assert {"KL", "KL_BertzCT", "W1_SA", "mean_QED"} <= set(found) and "novelty" not in protocol(GEN)
    monkeypatch.chdir(tmp_path)
    rows, root = tmp_path / "x.smi", str(tmp_path)
    rows.write_text("".join(f"{'' if s == 'INVALID' else s}\n" for s in GEN))
    (tmp_path / "r.csv").write_text("id,SMILES\n" + "".join(f"{k},{s}\n" for k, s in enumerate(reference)))
    (tmp_path / "t.smi").write_text("C[NH2+]C.[Cl-]\n")  # CNC, as it is learned
    words = ["molecules-score", str(rows), "--reference", f"{root}/r.csv", "--train", f"{root}/t.smi"]
    assert main([*words, "--scaffolds", f"{root}/t.smi", "--out", f"{root}/s.json"]) == 0
    written = json.loads((tmp_path / "s.json").read_text())
    assert set(written) == set(found)
    assert {k: v for k, v in written.items() if "TestSF" not in k} == pytest.approx(
        {k: None if np.isnan(v) else v for k, v in found.items() if "TestSF" not in k}
    )
    said = capsys.readouterr().out
    assert (tmp_path / "s.png").stat().st_size > 1000 and "4 valid molecules: unique@k" in said
    assert ("left out: FCD needs the package fcd" in said) != ("FCD" in written)
    assert main(["molecules-score", f"{root}/nothing.smi"]) == 1
    assert "nothing.smi does not exist; expected SMILES" in capsys.readouterr().err
    assert main(["molecules-score", str(rows), "--out", "x.txt"]) == 2
    (tmp_path / "no.smi").write_text("")
    (tmp_path / "bad.smi").write_text("XX\n\n")
    for words, message in (
        (["no.smi"], "no.smi holds no molecule"), (["x.smi", "--reference", "bad.smi"], "bad.smi holds no valid mol"),
        (["x.smi", "--train", "no.smi"], "no.smi holds no molecule"),
        (["x.smi", "--out", "bad.smi/s.json"], "cannot write bad.smi/s.json: .*bad.smi is a file"),
    ):  # fmt: skip
        assert main(["molecules-score", *words]) == 1 and re.search(message, capsys.readouterr().err)
    assert main(["molecules-score", "bad.smi", "--out", "b.json"]) == 0 and not (tmp_path / "b.png").exists()
    said = capsys.readouterr()
    assert "nan" not in said.out and not said.err and json.loads((tmp_path / "b.json").read_text())["validity"] == 0


def test_divergences_of_descriptors():
    """Zero, and a score of one, for the set itself."""
    same = guacamol_kl(GEN, GEN)
    assert same["score"] == pytest.approx(1) and len(same) == 11
    # rings of 0, 0, 1: of ten bins from 0 to 1 the first and the last; 2 rings are beyond and count nothing
    rings = guacamol_kl(["C1CC1", "C", "C1CC12CC2"], ["C", "CC", "C1CC1"])["NumAliphaticRings"]
    assert rings == pytest.approx(2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3))
    other = guacamol_kl(["CCO", "CCCO", "CCCCN", "c1ccccc1"], GEN)
    assert 0 < other["score"] < 0.9
    with pytest.raises(UsageError, match="at least 3"):
        guacamol_kl(["C"], GEN)


def test_cosine_and_frechet():
    assert cosine({"a": 3, "b": 4}, {"b": 2}) == pytest.approx(0.8) and np.isnan(cosine({}, {"b": 2}))
    rng = np.random.default_rng(0)
    d, a, s = 3, np.array([1.0, 0, 2]), 1.5
    x = rng.normal(size=(4000, d))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T  # N(0, I) to the digit
    assert frechet(x, a + s * x) == pytest.approx(a @ a + d * (1 - s) ** 2)


def test_frechet_distances_of_molecules(monkeypatch):
    assert frechet_descriptors(GEN, [s for s in GEN if s != "INVALID"]) == pytest.approx(0, abs=1e-6)
    assert frechet_descriptors(["CCO", "CCCO", "CCCCN", "c1ccccc1"], TEST * 2) > 1
    monkeypatch.setitem(sys.modules, "fcd", None)
    with pytest.raises(UsageError, match=r"pip install -e .plugins/molecules\[fcd\]"):
        fcd(GEN, TEST)


def test_fcd_of_the_golden_case():
    pytest.importorskip("fcd", reason="the extra fcd is not installed")
    assert fcd(GEN, TEST) == pytest.approx(52.58371754, rel=1e-5)


def test_pairs_of_neighbourhoods():
    """One atom has one feature in each of five blocks; sets that share nothing are at distance 2."""
    assert nspdk_like(["C"], ["N"]) == pytest.approx(2) and nspdk_like(GEN[3:4], GEN[3:4]) == pytest.approx(0)
    found = pair_features(Chem.MolFromSmiles("CCO"))
    assert sum(v * v for v in found.values()) == pytest.approx(1)
    blocks = Counter(key[:2] for key in found)
    # radius 0: atoms C twice and O; pairs C-C and C-O; the ends. With a wider view all three atoms differ.
    assert (blocks[0, 0], blocks[0, 1], blocks[0, 2], blocks[1, 0]) == (2, 2, 1, 3)
    np.testing.assert_allclose(sorted(v for k, v in found.items() if k[:2] == (0, 0)), np.array([1, 2]) / 75**0.5)


def test_properties():
    np.testing.assert_allclose(property_of(["C", "c1ccccc1", "OCO"], "rings"), [0, 1, 0])
    np.testing.assert_allclose(property_of(["C", "O"], "weight"), [16.043, 18.015], atol=1e-3)
    assert property_of(["C1CC1"] * 1001, "rings").sum() == 1001  # by several processes


def test_scores_of_sequences():
    same = scores(["ACD", "ACE"], ["ACD", "ACE"])
    assert same["aa_KL"] == same["pair_TV"] == same["3mer_JS"] == 0 and same["nearest_identity"] == 1
    assert same["novel"] == 0 and same["diversity"] == pytest.approx(1 / 3)
    other = scores(["WWW", "WWW"], ["ACD", "A-D"], ["ACD"])
    assert other["3mer_JS"] == pytest.approx(np.log(2)) and other["pair_TV"] == pytest.approx(1)
    assert other["nearest_identity"] == 0 and other["unique"] == 0.5 and other["novel"] == 1
    # gaps: one of the three columns has none in common
    assert scores(["A-D"], ["ACD"])["nearest_identity"] == pytest.approx(2 / 3)
    p, q = Counter({"a": 1, "b": 3}), Counter({"a": 1})
    m = np.array([0.625, 0.375])
    expected = (0.25 * np.log(0.25 / m[0]) + 0.75 * np.log(0.75 / m[1]) + np.log(1 / m[0])) / 2
    assert jensen_shannon(p, q) == pytest.approx(expected)
    with pytest.raises(UsageError, match="0 and 1 sequences"):
        scores([], ["A"])


def test_properties_of_proteins():
    """Weights by RDKit; hydropathy, charge and aromatic residues by hand."""
    peptides = [AMINO, "GG", "WKRD"]
    found = sequence_scores.property_of([*peptides, "W-K-RD"], "weight")
    np.testing.assert_allclose(found[:3], [property_of([Chem.MolToSmiles(Chem.MolFromSequence(p))], "weight")[0]
                                           for p in peptides], rtol=1e-4)  # fmt: skip
    assert found[3] == found[2]
    np.testing.assert_allclose(sequence_scores.property_of(["KRD", "DE--", "H"], "charge"), [1, -2, 0])
    np.testing.assert_allclose(sequence_scores.property_of(["IR", "AVG-"], "hydropathy"), [0, (1.8 + 4.2 - 0.4) / 3])
    np.testing.assert_allclose(sequence_scores.property_of([AMINO], "hydropathy"), -0.49)
    np.testing.assert_allclose(sequence_scores.property_of(["FWYA", ""], "aromatic"), [0.75, 0])
    with pytest.raises(UsageError, match="property 'mass'"):
        sequence_scores.property_of([], "mass")
