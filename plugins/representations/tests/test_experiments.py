"""Experiments in their smallest form."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import genkit
from genkit.errors import UsageError


def test_double_descent(tmp_path):
    """Extrema of the case that is asked for; smaller steps are nearer to the flow."""
    run = genkit.run(genkit.config("representations.double_descent", "tiny"), out=tmp_path / "run")
    results = run.results
    assert results["min_t/A_0/0"] == pytest.approx(2.00355988, abs=1e-8)
    assert results["max_e/A_0/0"] == pytest.approx(0.7873951294, abs=1e-10)
    assert results["early_stop_regret/A_0"] == pytest.approx(0.1502196852, abs=1e-9)
    assert results["flow_error/A_0"] < 1e-9 and results["step_error/0.03"] < 0.5 * results["step_error/0.1"]
    assert results["random/coupling"] > 1e-3
    assert set(run.figures) == {"curves", "descent", "phases"}
    with pytest.raises(UsageError, match="no case 'D'"):
        genkit.config("representations.double_descent", "tiny", {"case": "D"})


def test_gaussian_ood(tmp_path):
    run = genkit.run(genkit.config("representations.gaussian_ood", "tiny"), out=tmp_path / "run")
    results = run.results
    for name in ("vp", "sub_vp", "ve"):
        assert results[f"log_p/{name}"] == pytest.approx(results[f"log_p/{name}/exact"], abs=1e-6)
    exact = [name.removesuffix("/exact") for name in results if name.startswith(("auroc", "fpr")) and "exact" in name]
    for name in exact:
        assert results[name] == pytest.approx(results[f"{name}/exact"], abs=4 * 0.5 / 500**0.5)
    assert results["auroc/scaled_64_0.5"] < 0.5 < results["typicality/scaled_64_0.5"]
    assert np.isfinite(results["learned/error"]) and -1 <= results["learned/rank"] <= 1


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return genkit.run(
        genkit.config("representations.likelihood_ood", "tiny"), out=tmp_path_factory.mktemp("run") / "run"
    )


def test_likelihood_ood(study):
    results = study.results
    for method in ("rdm", "gmm", "knn", "scoped", "typicality"):
        for score in ("auroc", "fpr95_id", "fpr95_ood", "aupr_in", "aupr_out", "flagged_id"):
            assert 0 <= results[f"{score}/{method}/mean"] <= 1
    assert results["nfe"] == 24 and results["trace_sd"] > 0 and np.isfinite(results["bits"])
    assert results["auroc/gmm/mean"] > 0.9
    assert set(study.figures) == {"roc", "scores", "training"}


def test_detectors_without_a_density(tmp_path):
    """Further splits train no density where no method needs one."""
    options = {"methods": ("gmm", "gaussian", "knn"), "data.splits": 2, "model.steps": 2}
    run = genkit.run(genkit.config("representations.likelihood_ood", "tiny", options), out=tmp_path / "run")
    known = []
    for split in run.config.data.load().splits:  # a normal law of the six leading components
        mean = split.train.mean(0, dtype=float)
        _, length, axes = np.linalg.svd(split.train - mean, full_matrices=False)
        far = lambda x, m=mean, a=axes, s=length: (((x - m) @ a[:6].T / s[:6]) ** 2).sum(1)  # noqa: E731
        (unknown,) = split.ood.values()
        known.append((far(unknown)[:, None] > far(split.test)).mean())
    assert run.results["auroc/gaussian/mean"] == pytest.approx(np.mean(known), abs=1e-4)
    assert run.results["auroc/gaussian/sd"] == pytest.approx(np.std(known, ddof=1), abs=1e-4)
    assert {"auroc/gmm/sd", "auroc/knn/sd"} <= run.results.keys()
    assert "shrink/sd" in run.results and "bits" in run.results and "bits/sd" not in run.results
    assert not (run.folder / "parts").exists()


def test_the_density_alone(study, tmp_path):
    """Read again, it says the same; it refuses other features and a space without a density."""
    study.model.save(tmp_path / "model")
    model = genkit.load_model(tmp_path / "model")
    x = study.config.data.load().splits[0].test[:5]
    np.testing.assert_allclose(model.log_prob(x), study.model.log_prob(x), atol=1e-5)
    with pytest.raises(UsageError, match="keep 6 of 64"):
        model.log_prob(x, "input")


def test_without_labels(tmp_path):
    """Methods that need classes are left out."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", **{n: rng.standard_normal((40, 8)) for n in ("train", "test", "ood/a")})
    options = {"data": "features", "data.file": tmp_path / "x.npz", "methods": ("gmm", "msp", "mahalanobis")}
    config = genkit.config("representations.likelihood_ood", "tiny", options | {"components": 2})
    assert config.chosen(type("Run", (), {"once": lambda self, name, make: make()})()) == ("gmm",)
    with pytest.raises(UsageError, match="methods="):
        genkit.config("representations.likelihood_ood", "tiny", {"methods": ("nearest",)})


def test_the_example(tmp_path):
    path = Path(__file__).parents[3] / "examples" / "representations.py"
    spec = importlib.util.spec_from_file_location("representations_example", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    share, found = module.main(tmp_path)
    assert share == 0.25 and found["gmm"].auroc > found["gaussian"].auroc
