"""Experiments in their smallest form."""

import os
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import genkit
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit_latents.data import Points
from genkit_latents.datasets.digits import Digits
from genkit_latents.experiments import land


@dataclass(frozen=True)
class Unlabelled(Digits):
    """Digits that nobody has labelled."""

    def load(self) -> Points:
        return replace(super().load(), train_labels=None, test_labels=None)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """A few steps of a flat model and of the target metric, on data without labels."""
    options = {"models": ("euclidean", "target"), "points": 12}
    config = genkit.config("latents.explicit_metric", "tiny", options, data=Unlabelled())
    return genkit.run(config, out=tmp_path_factory.mktemp("runs") / "run")


def test_explicit_metric(chosen):
    """All results are numbers, and a loaded run draws."""
    for model in ("euclidean", "target"):
        for score in ("elbo", "iwae", "agreement", "distortion"):
            assert np.isfinite(chosen.results[f"{score}/{model}"])
        assert chosen.results[f"iwae/{model}"] >= chosen.results[f"elbo/{model}"]
        assert f"knn/{model}" not in chosen.results  # there are no labels that could vote
    assert set(chosen.figures) == {"latent", "distances", "draws", "training"}
    assert genkit.load(chosen.folder, trust=True).sample(jax.random.key(0), 3).shape == (3, 64)


def test_its_models_are_used_again(chosen, tmp_path):
    """The first is the run's own; each is restored where it comes first, and trained further."""
    own, other = genkit.load_model(chosen.folder), genkit.load_model(chosen.folder / "models" / "target")
    assert own.metric is None and other.metric is not None
    with pytest.raises(UsageError, match="has latent euclidean; models must begin with it, not with target"):
        config(chosen, models=("target",))
    run = Run(config(chosen, models=("euclidean",)), tmp_path / "restored")  # may train nothing
    run.config.train(run)
    np.testing.assert_array_equal(run.model.params["net"]["encoder"][0][0]["kernel"],
                                  own.params["net"]["encoder"][0][0]["kernel"])  # fmt: skip
    further = Run(config(chosen, models=("euclidean",), **{"model.finetune": 2}), tmp_path / "further", may_train=True)
    further.config.train(further)
    moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), further.model.params["net"], own.params["net"])
    assert 0 < max(jax.tree.leaves(moved)) < 0.1  # two steps from where it was


def config(run, **options):
    return genkit.config("latents.explicit_metric", "tiny", options, model=run.folder, data=Unlabelled())


@pytest.mark.slow
def test_poincare_tree(tmp_path):
    run = genkit.run(genkit.config("latents.poincare_tree", "tiny", {"models": ("poincare",)}), out=tmp_path / "run")
    assert np.isfinite(run.results["distortion/poincare"]) and np.isfinite(run.results["elbo/poincare"])


def test_pullback(tmp_path):
    """Geodesics are never longer than straight lines, and both metrics have theirs."""
    run = genkit.run(genkit.config("latents.pullback", "tiny"), out=tmp_path / "run")
    for metric in ("mean", "rbf"):
        assert run.results[f"longest/{metric}"] <= 1 + 1e-4
        assert run.results[f"magnification/{metric}"] > 0
    assert {"latent", "training"} == set(run.figures)


@pytest.mark.slow
@pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="GENKIT_DATA is not set")
def test_manifold_diffusion(tmp_path):
    options = {"data.kind": "volcano"}
    run = genkit.run(genkit.config("latents.manifold_diffusion", "tiny", options), out=tmp_path / "run")
    assert run.results["nll/uniform"] == pytest.approx(np.log(4 * np.pi))
    assert run.results["nll/flow"] < 2.531 and run.results["nll/score"] < 2.531
    assert run.results["repeated"] > 0.8  # of the volcanic eruptions


@pytest.mark.slow
def test_enriched(tmp_path):
    run = genkit.run(genkit.config("latents.enriched", "tiny"), out=tmp_path / "run")
    for distance in ("straight", "pullback", "enriched"):
        assert np.isfinite(run.results[f"ari/{distance}"]) and run.results[f"off/{distance}"] > 0


@pytest.mark.slow
def test_land(tmp_path, monkeypatch):
    monkeypatch.setattr(land, "GRID", 20)  # a geodesic to each point
    run = genkit.run(genkit.config("latents.land", "tiny"), out=tmp_path / "run")
    x = run.config.data.load().train
    law = multivariate_normal(x.mean(0), np.cov(x.T, ddof=0))
    inside = law.cdf(x.max(0) + 0.35, lower_limit=x.min(0) - 0.35)  # the grid ends within its tails
    assert np.isfinite(run.results["nll/land_1"]) and run.results["mass/gauss_1"] == pytest.approx(inside, abs=0.02)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"models": ("flat",)}, "unknown model 'flat'"), ({"models": ()}, "models is empty"), ({"weight": 0.0}, "weight"),
     ({"models": ("p2", "h2,s2")}, "p2 and h2,s2 are both"), ({"points": 3}, "more points than"),
     ({"steps": 0}, "steps=0"), ({"warmup": 0.0}, "warmup=0.0"), ({"batch": 1}, "batch=1 leaves the penalty no pair")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("latents.explicit_metric", "default", options)
