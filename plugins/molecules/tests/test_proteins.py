"""Protein sequences: files, the hidden Markov law, networks, the experiment."""

import gzip
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import genkit
from genkit.discrete import Ancestral
from genkit.errors import DataError, UsageError
from genkit.experiment.config import read_yaml
from genkit.nn import abstract, functional, parameter_count
from genkit.testing import discrete_denoiser, exact_law, hmm_denoiser
from genkit_molecules.datasets.proteins import Fasta, SteroidIsomerase
from genkit_molecules.datasets.solvable import HiddenMarkov, Potts, Table
from genkit_molecules.items import AMINO, UNIREF50, fasta
from genkit_molecules.models.blosum import blosum, blosum62, doubly_stochastic
from genkit_molecules.networks.bytenet import ByteNet
from genkit_molecules.networks.mlp import SequenceMLP
from genkit_molecules.networks.sequence_transformer import SequenceTransformer

DATA = pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="GENKIT_DATA names no folder of data sets")


def load(folder, text, name="x.fasta", **options):
    path = Path(folder) / name
    path.write_text(text)
    return Fasta(file=str(path), **{"test": 0.0, **options}).load()


def texts(data):
    return set(data.texts("train"))


def test_files(tmp_path):
    plain = load(tmp_path, ">a one\nACD\nEF\n\n>b\nacdw\n>c\nACX\n>d\nACDW\n>e\n>f\nACDEFGHIK\n", max_length=6)
    assert texts(plain) == {"ACDEF", "ACDW"} and plain.alphabet == "ACDEFGHIKLMNPQRSTVWY" and plain.length == 5
    assert plain.notes.dropped == {
        "repeated": (9,), "empty": (11,), "longer than 6": (12,), "letters beside the 20 amino acids": (7,)
    }  # fmt: skip
    a3m = ">q\nACD-F\n>h1\nA-DghF.\n>h2\nA---F\n"
    assert texts(load(tmp_path, ">q\nACDEF\n>h\nACgDE-\n", "x.a3m")) == {"ACDEF", "ACDE-"}
    assert texts(load(tmp_path, a3m, "x.a3m", gaps="remove")) == {"ACDF", "ADGHF", "AF"}
    assert load(tmp_path, ">a\nAC-E\n>b\nACDE\n>c\nA---\n").notes.dropped == {"more than 0.5 gaps": (5,)}
    (tmp_path / "back.fasta").write_text(fasta(["ACD", "W" * 90]))
    assert texts(Fasta(file=str(tmp_path / "back.fasta"), test=0.0).load()) == {"ACD", "W" * 90}


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match=r"line 3: sequence 'h' has 3 columns and the first one 4"):
        load(tmp_path, ">q\nACDE\n>h\nACD\n", "x.a3m")
    with pytest.raises(DataError, match="can be used: 1 .'1', which is no amino acid; line 1"):
        load(tmp_path, ">a\nAC1\n")
    with pytest.raises(DataError, match="x.fasta has no header; expected sequences in FASTA"):
        load(tmp_path, "# nothing\n")
    with pytest.raises(DataError, match="x.fasta.gz is not packed with gzip"):
        load(tmp_path, ">a\nAC\n", "x.fasta.gz")
    with pytest.raises(DataError, match="x.sto, line 2: 'q' is no row"):
        load(tmp_path, "# STOCKHOLM 1.0\nq\n", "x.sto")
    with pytest.raises(DataError, match="x.sto, line 3: 'h' has 2 columns in all blocks and the first row 4"):
        load(tmp_path, "# STOCKHOLM 1.0\nq AC\nh AC\n\nq DE\n//\n", "x.sto")
    with pytest.raises(DataError, match="x.sto, line 5: a second alignment begins"):
        load(tmp_path, "# STOCKHOLM 1.0\nq AC\n//\n\n# STOCKHOLM 1.0\nr AC\n//\n", "x.sto")
    with pytest.raises(DataError, match="line 3: sequence 'b' has X; mend"):
        load(tmp_path, ">a\nAC\n>b\nAX\n", odd="error")
    with pytest.raises(DataError, match="line 1: 'ACD' stands before"):
        load(tmp_path, "ACD\n")
    with pytest.raises(DataError, match="is empty"):
        load(tmp_path, "\n")
    with pytest.raises(DataError, match="holds no sequence"):
        load(tmp_path, ">a\nXX\n")
    with pytest.raises(DataError, match="does not exist"):
        Fasta(file=str(tmp_path / "nothing")).load()
    with pytest.raises(UsageError, match="no file is named"):
        Fasta().load()


def test_letters_that_are_no_amino_acids(tmp_path):
    """A stop at the end is left out, rare and unknown letters by option; nucleotides are refused."""
    text = ">a\nACDEF*\n>b\nACDXF\n>c\nABZUF\n>d\nACDEF\n>e\nacdefg\n>f\nAC*DF\n"
    data = load(tmp_path, text)
    assert texts(data) == {"ACDEF", "ACDEFG"}
    assert data.notes.dropped == {"letters beside the 20 amino acids": (3, 5, 11), "repeated": (7,)}
    assert data.notes.changed == {"a stop at the end left out": (1,)}
    kept = load(tmp_path, text, odd="keep")
    assert texts(kept) == {"ACDEF", "ACDXF", "ABZUF", "ACDEFG", "AC*DF"} and kept.alphabet[20:] == "BZXU*"
    assert texts(load(tmp_path, ">a\nAC-F*\n>b\nACDFW\n")) == {"AC-F-", "ACDFW"}
    with pytest.raises(DataError, match="looks like nucleotides, not proteins: its letters are A C G N T"):
        load(tmp_path, ">a\nACGTACGTAA\n>b\nACGTACGTNN\n")
    assert texts(load(tmp_path, ">a\nACGTACGTAA\n>b\nACGTACGTNN\n", insist=True)) == {"ACGTACGTAA", "ACGTACGTNN"}


def test_alignments_and_packed_files(tmp_path):
    """Rows of annotation are known, blocks of Stockholm are joined, columns of insertions are left out."""
    said = ">ss_pred PSIPRED\nCCHHHHCC\n>ss_conf\n99999999\n>q_consensus\nACDEFGHI\n"
    a3m = load(tmp_path, f"{said}>q\nACDEFGHI\n>c\nA-DEtkGGHI\n", "x.a3m")
    assert texts(a3m) == {"ACDEFGHI", "A-DEGGHI"} and a3m.notes.dropped == {"annotation": (1, 3, 5)}
    rows = "# STOCKHOLM 1.0\n#=GF ID x\n\nq/1-5 ACd\n#=GR q/1-5 SS HHH\nh AC.\n#=GC RF xx.\n\nq/1-5 EF\nh  -W\n{}//\n"
    marked = load(tmp_path, rows.format("#=GC RF xx\n"), "x.sto")
    assert texts(marked) == {"ACEF", "AC-W"}
    assert texts(load(tmp_path, rows.format(""), "x.sto")) == {"ACDEF", "AC--W"}
    (tmp_path / "x.fasta.gz").write_bytes(gzip.compress(">a\nACDEF\n".encode("utf-8-sig")))
    assert texts(Fasta(file=str(tmp_path / "x.fasta.gz"), test=0.0).load()) == {"ACDEF"}


@DATA
def test_hard_files():
    folder = Path(os.environ["GENKIT_DATA"]) / "hard/molecules"
    read = {"bom.fasta": {"ACDEF"}, "ss.a3m": {"ACDEFGHI", "A-DEGGHI"}, "star.fasta": {"ACDEF", "ACDEFG"}}
    for name, letters in read.items():
        assert texts(Fasta(file=str(folder / name), test=0.0).load()) == letters, name
    assert texts(Fasta(file=str(folder / "gz.fasta.gz"), test=0.0).load())
    with pytest.raises(DataError, match="dna.fasta looks like nucleotides"):
        Fasta(file=str(folder / "dna.fasta")).load()


@DATA
def test_a_real_alignment():
    data = SteroidIsomerase().load()
    assert data.length == 125 and data.alphabet[-1] == "-"
    assert len(data.train) + len(data.test) + sum(map(len, data.notes.dropped.values())) == 1073
    whole = SteroidIsomerase(gaps="remove").load()
    assert "-" not in whole.alphabet and whole.length > 125


def test_hidden_markov_law():
    """The published case, and sequences that have the law they are said to have."""
    table = hmm_denoiser([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    found = [float(jnp.exp(table.log_prob(jnp.array([x]))[0])) for x in ([0, 1, 2, 2], [0, 1, 2, 2, 0])]
    np.testing.assert_allclose(found, [0.008295, 0.00218652], rtol=1e-5)
    every = jnp.array(np.indices((3,) * 4).reshape(4, -1).T)
    log_p = table.log_prob(every)
    assert float(-(jnp.exp(log_p) * log_p).sum()) == pytest.approx(4.12944169, abs=1e-5)
    of = HiddenMarkov(length=3, train=20_000, test=1)
    data = of.load()
    first, move, emit = of.law()
    pair = np.einsum("h,ha,hk,kb->ab", first, emit, move, emit)
    drawn = np.zeros((20, 20))
    np.add.at(drawn, (data.train[:, 0], data.train[:, 1]), 1 / len(data.train))
    assert np.abs(drawn - pair).sum() / 2 < 0.5 * (2 / np.pi * 400 / 20_000) ** 0.5 * 1.3


@pytest.mark.parametrize(
    "data",
    [
        Potts(length=3, letters=4, coupling=0.5, train=40_000, test=1),
        Potts(length=3, letters=4, ring=True, train=40_000, test=1),
        Table((0.1, 0.2, 0.05, 0.15, 0, 0.1, 0.2, 0.2), length=3, train=40_000, test=1),
    ],
    ids=["chain", "ring", "table"],
)
def test_laws_that_are_known(data):
    """The likelihood is normalised, and the sequences have this law."""
    found = data.load()
    k = found.layout.classes
    p = np.exp(np.asarray(found.oracle.log_prob(jnp.array(np.indices((k,) * 3).reshape(3, -1).T))))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    drawn = np.bincount(found.train.astype(int) @ k ** np.arange(3)[::-1], minlength=k**3) / 40_000
    far = 40_000 * ((drawn - p) ** 2 / np.where(p > 0, p, 1)).sum()
    assert far < k**3 + 5 * (2 * k**3) ** 0.5 and (drawn[p == 0] == 0).all()


def test_wrong_laws():
    with pytest.raises(UsageError, match="letters=21"):
        Potts(letters=21)
    with pytest.raises(UsageError, match="3 probabilities of 2 tokens"):
        Table((0.5, 0.2, 0.3))
    with pytest.raises(UsageError, match="sum to 1"):
        Table((0.5, 0.2, 0.3, 0.3))


SMALL = {
    "transformer": SequenceTransformer.preset("tiny"),
    "bytenet": ByteNet.preset("tiny"),
    "mlp": SequenceMLP.preset("tiny"),
}


@pytest.mark.parametrize("name", SMALL)
def test_networks(name):
    """Sites that are not real change nothing, and all others reach each other."""
    x = jnp.array([[0, 3, 2, 20, 1, 7], [5, 20, 4, 1, 1, 1]])
    mask = jnp.array([[True] * 6, [True] * 4 + [False] * 2])
    t = jnp.array([0.2, 0.5])
    heads: Any = ("generator", "discriminator")
    for head in heads:
        apply, params = functional(SMALL[name].build(nnx.Rngs(0), 20, head, 1, 3))
        f = jax.jit(apply)
        given = jnp.eye(3)[:2]
        out = f(params, x, t, mask, given)
        assert out.shape == ((2, 6, 20) if head == "generator" else (2, 1))
        other = f(params, x.at[1, 4:].set(9), t, mask, given)
        np.testing.assert_allclose(out[0], other[0], atol=1e-5)
        np.testing.assert_allclose(out[1, :4] if head == "generator" else out[1], other[1, :4] if head == "generator"
                                   else other[1], atol=1e-5)  # fmt: skip
        assert np.abs(f(params, x.at[0, 2].set(6), t, mask, given) - out)[0].max() > 1e-4


def test_published_size():
    """EvoDiff-Seq has 38 M parameters."""
    _, params = abstract(lambda rngs: ByteNet().build(rngs, 20))
    assert 35e6 < parameter_count(params) < 41e6
    with pytest.raises(UsageError, match="kernel=4"):
        ByteNet(kernel=4)
    with pytest.raises(UsageError, match="largest=12"):
        ByteNet(largest=12)
    with pytest.raises(UsageError, match=r"rows of 9 sites for a perceptron of 8; give network.sites=9"):
        SMALL["mlp"].build(nnx.Rngs(0), 20)(jnp.zeros((1, 9), int), 0.0)


def test_the_experiment(tmp_path):
    run = genkit.run(genkit.config("molecules.protein_ardm", "tiny", {"calls": 4}), out=tmp_path / "run")
    results: Any = run.results
    assert results["entropy_gap/test"] > 0 and results["nll/ardm"] > results["nll/test"]
    assert (run.folder / "samples_ardm.fasta").read_text().count(">") == 40
    with pytest.raises(UsageError, match="calls"):  # of an ardm alone
        genkit.config("molecules.protein_ardm", "tiny", {"calls": 4, "model": "masked"})


def test_a_table_is_learned(tmp_path):
    """The perceptron reaches the entropy of two tokens, 1.208 nats."""
    options = {"data": "table", "network": "mlp", "steps": 600, "batch": 128, "samples": 2000}
    run = genkit.run(genkit.config("molecules.protein_ardm", "tiny", options), out=tmp_path / "run")
    texts = [line for line in (run.folder / "samples_ardm.fasta").read_text().split("\n") if line and line[0] != ">"]
    law = np.array([texts.count(pair) for pair in ("AA", "AC", "CA", "CC")]) / 2000
    assert np.abs(law - [0.5, 0.1, 0.15, 0.25]).sum() / 2 < 0.05
    results: Any = run.results
    assert results["nll/test"] == pytest.approx(1.20797369, abs=0.06) and abs(results["entropy_gap/test"]) < 0.06


def test_protein_guidance(tmp_path):
    config = genkit.config("molecules.protein_guidance", "tiny", {"wanted": "charge"})
    run = genkit.run(config, out=tmp_path / "run")
    methods = ["ardm/1", "cfg/1", "classifier/2", "discriminator/2", "both/2"]
    assert {f"{score}/{m}" for m in methods for score in ("yes", "mean", "nll", "aa_KL")} <= set(run.results)
    assert "property" in run.figures
    with pytest.raises(UsageError, match="--generator masked|--model masked does not fit"):
        genkit.config("molecules.protein_guidance", "tiny", {"model": "masked"})


def test_blosum():
    """Scores as published, a doubly stochastic matrix, and one letter exactly, at any stride."""
    score, at = blosum62(), AMINO.index
    assert (score == score.T).all() and score.diagonal().sum() == 116
    assert [score[at(a), at(b)] for a, b in ("WW", "IV", "WC", "DE", "PF")] == [11, 3, -2, 2, -4]
    move = doubly_stochastic(np.exp(score))
    np.testing.assert_allclose([move.sum(0), move.sum(1)], 1, atol=1e-11)
    ratio = np.log(move / np.sqrt(np.outer(move.diagonal(), move.diagonal())))  # what no scaling changes
    np.testing.assert_allclose(ratio, score - (score.diagonal()[:, None] + score.diagonal()) / 2, atol=1e-9)
    process, law = blosum(UNIREF50, 40), UNIREF50 / UNIREF50.sum()
    np.testing.assert_allclose(np.exp(process.log_prior), law @ np.exp(process.bars[-1]), rtol=1e-6)
    np.testing.assert_allclose(np.exp(process.step[40]), move, atol=1e-11)
    with jax.enable_x64(True):
        model = Ancestral(process, steps=3).model(discrete_denoiser(law, process), (20, 1))
        np.testing.assert_allclose(exact_law(model, 1, 20), law, atol=1e-9)
    with pytest.raises(UsageError, match="these data have 21 letters: gaps=remove"):
        blosum(np.ones(21), 10)


def soft(texts):
    """A reward of two letters."""
    return [{"AA": 1.0, "AC": 1.8, "CA": -0.5, "CC": -np.inf}[text] for text in texts]


def test_a_reward_is_learned(tmp_path, monkeypatch):
    """The classifier says E[exp(reward - top) | x_S], and the generator that is told yes p(x) exp(reward(x)) / Z."""
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(soft=soft))
    options: Any = {"data": "table", "network": "mlp", "batch": 128, "samples": 1000, "generated": 200, "strength": 1.0}
    options |= {"steps": 500, "optimizer.lr": 0.01, "discriminator_steps": 400, "discriminator_optimizer.lr": 0.02}
    options |= {"reward": ("0.5*own:soft", "0.5*own:soft"), "particles": 1, "look_ahead": True}
    config = genkit.config("molecules.protein_guidance", "tiny", options)
    run = genkit.run(config, out=tmp_path / "run")
    pairs, q = ["AA", "AC", "CA", "CC"], np.array([0.5, 0.1, 0.15, 0.25])
    reward = np.array(soft(pairs))
    yes = np.exp(reward - 1.8)
    model: Any = run.model
    x = jnp.array(np.indices((3, 3)).reshape(2, -1).T)
    every = np.array(np.indices((2, 2)).reshape(2, -1).T)
    hidden = (x == 2).mean(1)
    found = jax.nn.sigmoid(jax.jit(lambda x: model.classifier(x, hidden, {"mask": jnp.ones((9, 2), bool)}))(x))
    for row, p in zip(np.asarray(x)[:-1], np.asarray(found)[:-1], strict=True):
        fits = ((every == row) | (row == 2)).all(1)
        assert abs(p - (q * yes)[fits].sum() / q[fits].sum()) < 0.06, row
    law = q * yes / (q * yes).sum()
    assert model.wanted == "reward" and model.threshold == 1.8 and model.share == pytest.approx(q @ yes, abs=0.04)
    for method in ("cfg/1", "classifier/1"):
        texts = (run.folder / f"samples_{method.replace('/', '_')}.fasta").read_text().split("\n")
        drawn = np.array([texts.count(pair) for pair in pairs]) / 1000
        assert np.abs(drawn - law).sum() / 2 < 0.08, method
        here = drawn[:3] / drawn[:3].sum()
        assert run.results[f"mean/{method}"] == pytest.approx(here @ reward[:3], abs=1e-6)
        assert run.results[f"yes/{method}"] == pytest.approx(drawn @ yes, abs=1e-6)
    with pytest.raises(UsageError, match="runs code of its own .0.5.own:soft.; give --trust"):
        read_yaml(run.folder / "config.yaml")
    again = genkit.config("molecules.protein_guidance", "tiny", {"data": "table", "model": str(run.folder)})
    with pytest.raises(UsageError, match="runs code of its own .0.5.own:soft.; give --trust"):
        genkit.run(again, out=tmp_path / "again")
    with pytest.raises(UsageError, match="threshold=2 is of a property; a reward has none"):
        genkit.config("molecules.protein_guidance", "tiny", {"reward": ("charge=1:1",), "threshold": 2.0})
