"""Graphical models and their comparison."""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.errors import DataError, UsageError
from genkit.smc import LatentGaussian, Resample, belief_propagation
from genkit_inverse.datasets.pines import Pines
from genkit_inverse.experiments.pgm import PGM, estimates, summary
from genkit_inverse.graphs.counts import CARPoisson
from genkit_inverse.graphs.lattice import Ising, Potts
from genkit_inverse.graphs.topics import LDA


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return genkit.run(genkit.config("inverse.pgm", "tiny", {}), out=tmp_path_factory.mktemp("runs") / "pgm")


def test_results(finished):
    results = finished.results
    for twist in ("none", "lbp"):
        for n in (4, 16):
            for score in ("sd", "se", "error"):
                assert np.isfinite(results[f"{score}/ising/{twist}/{n}"])
            assert results[f"collapsed/ising/{twist}/{n}"] == 0
            assert abs(results[f"error/ising/{twist}/{n}"]) < 6 * results[f"se/ising/{twist}/{n}"]
    assert results["converged/ising/lbp"] == 1
    assert results["deterministic/ising/lbp"] - results["exact/ising"] == results["deterministic_error/ising/lbp"]
    assert set(finished.figures) == {"log_z", "ess"}
    assert (finished.folder / "report.html").exists()


def test_exact_values():
    """Transfer matrix, Kaufman, and Potts models of two states, which are Ising models."""
    np.testing.assert_allclose(Ising(coupling=1 / 2.269185).exact(), 265.264158090, rtol=0, atol=1e-8)
    np.testing.assert_allclose(Ising(coupling=0.44, field=0.0, periodic=True).exact(), 238.387247204240, rtol=1e-12)
    small = Ising(size=4, coupling=0.44, field=0.0, periodic=True)
    np.testing.assert_allclose([small.load().exact(), small.exact()], 15.504726538718, rtol=1e-7)
    potts = Potts(size=5, coupling=0.8, field=0.0, states=2)
    ising = Ising(size=5, coupling=0.4, field=0.0).exact()
    np.testing.assert_allclose(potts.load().exact(), ising + 0.4 * len(potts.edges()), rtol=1e-6)
    assert Ising(periodic=True).exact() is None


def test_belief_propagation_in_random_fields():
    """At most .40 of the spread of plain SMC, and nearer the truth than Bethe's value; 16 x 16 spins."""
    model = Ising()
    graph, exact = model.load(), model.exact()
    messages = belief_propagation(graph)
    found = []
    for twist in (None, messages):
        ends, _ = estimates(jax.random.key(0), graph.model(twist), Resample(threshold=1.0), 64, 50, 50)
        found.append(summary(np.asarray(ends.log_z, np.float64)))
        assert abs(found[-1]["log_z"] - exact) < 4 * found[-1]["se"]
    assert found[1]["sd"] <= 0.40 * found[0]["sd"]
    assert abs(found[1]["log_z"] - exact) < 0.2 * abs(messages.log_z - exact)


def test_what_did_not_converge_is_said(tmp_path):
    """In the log and in the results; log Z is there all the same."""
    options = {
        "model": "potts",
        "twists": ("lbp",),
        "model.size": 3,
        "model.coupling": -3.0,
        "model.periodic": True,
        "damping": 0.0,
    }
    run = genkit.run(genkit.config("inverse.pgm", "tiny", options), out=tmp_path / "potts")
    assert run.results["converged/potts/lbp"] == 0 and run.results["sd/potts/lbp/16"] > 0
    assert "sd/potts/none/16" not in run.results
    assert "lbp did not converge" in (run.folder / "log.txt").read_text()


def test_an_approximation_that_fails_is_said(tmp_path):
    """Laplace's and EP begin at the mean, where this likelihood is NaN; plain SMC has its row all the same."""

    class Broken:
        def load(self):
            return LatentGaussian(np.eye(2), lambda x, y: jnp.where(x == 0, jnp.nan, -(x**2)), np.zeros(2))

    said = []
    run = SimpleNamespace(
        once=lambda name, make: make(), say=said.append, seed=0, folder=tmp_path,
        key=lambda name: jax.random.key(0), each=lambda name, jobs: jobs,
    )  # fmt: skip
    PGM(model=Broken(), particles=(4,), runs=2).sample(run)
    assert [line.split(":")[0] for line in said] == [
        f"{name} is left out" for name in ("the exact value", "laplace", "ep")
    ]
    found = np.load(tmp_path / "estimates.npz")
    assert np.isfinite(found["log_z/none/4"]).all() and not found["converged/ep"] and "log_z/ep/4" not in found


def test_files_of_ones_own(tmp_path):
    """Topics, a document and a prior as text; counts as an array."""
    phi = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    np.savetxt(tmp_path / "topics.csv", phi, delimiter=",")
    (tmp_path / "prior.txt").write_text("1 2")
    (tmp_path / "document.txt").write_text("2")
    lda = LDA(topics=tmp_path / "topics.csv", document=tmp_path / "document.txt", prior=tmp_path / "prior.txt")
    np.testing.assert_allclose(lda.load().exact(), np.log((1 * 0.1 + 2 * 0.6) / 3), rtol=1e-12)
    np.save(tmp_path / "counts.npy", np.arange(6).reshape(2, 3))
    counts = CARPoisson(shape=(2, 3), counts=tmp_path / "counts.npy").load()
    np.testing.assert_array_equal(counts.data, np.arange(6))
    np.savetxt(tmp_path / "row.txt", np.arange(3)[None])
    np.testing.assert_array_equal(CARPoisson(shape=(1, 3), counts=tmp_path / "row.txt").load().data, np.arange(3))
    with pytest.raises(DataError, match=r"has the shape \(2, 3\), expected \(3, 2\); set --model.shape"):
        CARPoisson(shape=(3, 2), counts=tmp_path / "counts.npy").load()
    for words, says in (("0 3", r"word 3; the vocabulary has 0..2"), ("0 -1", "whole numbers of at least 0")):
        (tmp_path / "document.txt").write_text(words)
        with pytest.raises(DataError, match=says):
            lda.load()
    (tmp_path / "document.txt").write_text("nan")
    with pytest.raises(DataError, match="entries that are no finite numbers"):
        lda.load()
    np.savetxt(tmp_path / "topics.csv", 2 * phi, delimiter=",")
    with pytest.raises(DataError, match="which sum to 1"):
        lda.load()


def test_pines():
    """126 of them on the grid of the log-Gaussian Cox process, 111 cells not empty, at most 3 in one."""
    if not Pines().path():
        pytest.skip("smc/pines.csv is not in GENKIT_DATA")
    y = CARPoisson(shape=(40, 40), counts=Path("pines")).load().data
    assert (y.sum(), (y > 0).sum(), y.max()) == (126, 111, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"runs": 1}, "at least 2 runs"), ({"order": "spiral"}, "order='spiral'; expected one of given"),
     ({"damping": 1.0}, "damping=1.0"), ({"model.size": 1}, "size=1 is too small"),
     ({"model": "potts", "model.states": 1}, "states=1"), ({"model": "lda", "model.words": 0}, "words=0"),
     ({"model": "car_poisson", "model.rho": 1.0}, "rho=1.0; expected tau above 0 and")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("inverse.pgm", "default", options)


def test_a_twist_that_the_model_has_not(tmp_path):
    config = genkit.config("inverse.pgm", "tiny", {"twists": ("none", "laplace")})
    with pytest.raises(UsageError, match="twist 'laplace' is not for ising, which has none, lbp"):
        genkit.run(config, out=tmp_path / "wrong")
