"""Estimators of log Z, and the studies that compare them, small."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.errors import GenkitError, UsageError
from genkit.nn import Net
from genkit.steer import PDDS
from genkit.tree import register_dataclass
from genkit_inverse.estimators import ESTIMATORS, Settings
from genkit_inverse.experiments.estimates import KEYS, error_points, results_of
from genkit_inverse.figures import scatter
from genkit_inverse.models.pdds import LearnedPotential, PDDSPotential, score_loss
from genkit_inverse.networks import PotentialMLP, PotentialSizes
from genkit_inverse.targets import Target, target, whitened
from genkit_inverse.targets.mixtures import Mixture2D
from genkit_inverse.targets.shapes import Funnel

KEY = jax.random.key(0)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Shifted(Target):
    """exp(shift) N(0.3, 0.8^2 I)."""

    shift: jax.Array
    dim: int = field(default=2, metadata={"static": True})

    def __call__(self, x):
        """log density."""
        return jax.scipy.stats.norm.logpdf(x, 0.3, 0.8).sum() + self.shift


@target(dim=2)
def hollow(x):
    """A normal but for a ball of radius 2 about the origin, in which it is zero."""
    return jnp.where(jnp.sum(x**2) < 4, -jnp.inf, -0.5 * jnp.sum(x**2))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(name):
    """log Z of a normal; a constant moves it by just that; the states are those of the density; the cost is counted."""
    settings = Settings(400, 0.8, 3, 1, 8, 4, budget=3e4)

    @jax.jit
    def run(shift):
        begin = replace(begin0, log_p=replace(begin0.log_p, log_p=Shifted(shift)))
        found = ESTIMATORS[name](begin, 2, settings)(KEY)
        w = jax.nn.softmax(found.log_w)
        return found.log_z, found.evals, w @ found.x, found.undefined, found.unfinished

    begin0 = whitened(Shifted(jnp.zeros(())))
    (log_z, evals, mean, undefined, unfinished), shifted = run(0.0), run(4.0)
    assert abs(log_z) < 0.2 and shifted[0] - log_z == pytest.approx(4, abs=2e-3)
    np.testing.assert_allclose(mean, 0.3, atol=0.2)
    assert not undefined and not unfinished and 400 < evals < 8e4


def test_fewer_particles_than_twice_the_dimensions():
    with pytest.raises(UsageError, match="100 particles are fewer than twice its 61 dimensions; give at least 122"):
        Settings(100, 0.9, 5, 1, 8, 4).check("sonar", 61)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return genkit.run(genkit.config("inverse.pdds", "tiny"), out=tmp_path_factory.mktemp("runs") / "pdds")


def test_pdds(tiny):
    r = tiny.results
    for method in ("pdds_naive", "pdds_mc", "pdds", "tempering", "parallel_tempering"):
        place = f"log_z/mixture2d/{method}"
        assert np.isfinite([r[f"{place}/{key}"] for key in ("mean", "sd", "error", "evals", "seconds")]).all()
        assert r[f"{place}/error"] == r[f"{place}/mean"] and r[f"failed/mixture2d/{method}"] == 0
        assert 1 <= r[f"modes/mixture2d/{method}"] <= 6
    # 20 updates of 50, two pools of 100 at 5 levels; then 100 particles at 5 levels
    assert r["evals_again/mixture2d/pdds"] == 500 and r["log_z/mixture2d/pdds/evals"] == 20 * 50 + 2 * 100 * 5 + 500
    assert 0.4 < r["log_z/mixture2d/tempering/evals"] / 2500 < 2.5
    assert set(tiny.figures) == {"training", "samples"}


def test_samples_of_one_coordinate_are_drawn():
    x = np.array([[2.0], [3.0], [2.5]])
    panels = scatter({"exact": x, "pdds": x + 1}).axes
    np.testing.assert_array_equal(panels[1].collections[1].get_offsets(), [[3, 0], [4, 0.5], [3.5, 1]])


def test_runs_that_failed():
    """What did not end does not count, in results and figure; a method that never did has no line in it."""
    rows = {key: np.ones(3) for key in KEYS} | {
        "log_z": np.array([1.0, 9.0, np.nan]),
        "unfinished": np.array([0, 1, 0]),
    }
    results = results_of("t", "m", rows, 0.0)
    assert results["log_z/t/m/mean"] == 1 and results["failed/t/m"] == 2
    found = error_points({"m": [rows], "lost": [rows | {"unfinished": np.ones(3)}]}, 0.5)
    assert list(found) == ["m"]
    np.testing.assert_array_equal(found["m"][0][1], [0.5])


def test_a_density_that_is_zero_where_training_looks():
    """The naive potential begins at x = 0: drawn pools collapse, which is said, and so are the samples."""
    recipe, said = (
        PDDSPotential(network=PotentialMLP(8, 8), sampler=PDDS(2), updates=2, batch=9, pool=20, refresh=1),
        [],
    )

    def fit(phase):
        state, step = phase.init(KEY), jax.jit(phase.step)
        for _ in range(phase.steps):
            state, _ = step(state, None, KEY)
        return state

    model = recipe.fit(SimpleNamespace(fit=fit, say=said.append, key=lambda name: KEY), hollow())
    assert said == ["potential: all weights were zero in 2 of 2 draws, from which it learned nothing"]
    with pytest.warns(RuntimeWarning, match="PDDS: all weights were zero"):
        model.sample(KEY, 20)


def test_what_is_trained_gives_log_z_again(tiny):
    """Without training; for the density that it was trained for alone."""
    model = genkit.load_model(tiny.folder)
    run = jax.jit(lambda model: model.run(KEY, 60).log_z)
    assert float(run(model)) == pytest.approx(float(run(tiny.model)), abs=1e-5)
    found = model.sample(KEY, 60)
    assert found["samples"].shape == (60, 2) and found["log_w"].shape == (60,)
    np.testing.assert_allclose(found["log_z"], float(run(model)), rtol=1e-4)
    model.check(Mixture2D())
    with pytest.raises(UsageError, match="was trained for another density than Funnel"):
        model.check(Funnel())
    config = genkit.config("inverse.pdds", "tiny", {"model": str(tiny.folder), "target": "funnel"})
    with pytest.raises(UsageError, match="was trained for another density than Funnel"):
        config.model.obtain(None, config.target)


def test_logz(tmp_path):
    run = genkit.run(genkit.config("inverse.logz", "tiny"), out=tmp_path / "logz")
    for method in ("tempering", "ais", "pdds", "tempering_as_pdds"):
        values = [run.results[f"log_z/mixture2d/{method}/{key}"] for key in ("mean", "sd", "error", "evals", "seconds")]
        assert np.isfinite(values).all() and 1 <= run.results[f"modes/mixture2d/{method}"] <= 6
    r = run.results
    assert abs(r["log_z/mixture2d/tempering/error"]) < 1
    assert r["log_z/mixture2d/ais/evals"] == pytest.approx(r["log_z/mixture2d/tempering/evals"], rel=0.25)
    of_pdds, beside = (r[f"log_z/mixture2d/{method}/evals"] for method in ("pdds", "tempering_as_pdds"))
    assert beside == pytest.approx(of_pdds, rel=0.25)
    assert r["minutes/mixture2d"] > 0 and set(run.figures) == {"training", "errors"}


def test_what_was_estimated_is_not_estimated_again(tmp_path, monkeypatch):
    """A killed sampling goes on with the estimates that it has not; one that ended begins anew."""
    from genkit_inverse.experiments import logz

    asked = []

    def estimated(run, name, *rest):
        if len(asked) == 1:
            asked.append("killed")
            raise KeyboardInterrupt
        asked.append(name)
        return {key: np.ones(2) for key in KEYS} | {"wall": np.ones(())}

    monkeypatch.setattr(logz, "estimated", estimated)
    config = genkit.config("inverse.logz", "tiny", {"methods": ("tempering", "ais")})
    run = SimpleNamespace(folder=tmp_path, each=lambda name, jobs: jobs)
    with pytest.raises(KeyboardInterrupt):
        config.sample(run)
    config.sample(run)
    assert asked == ["mixture2d, tempering, 100", "killed", "mixture2d, ais, 100"]
    config.sample(run)
    assert len(asked) == 5


def test_the_loss_is_least_at_the_true_potential():
    """N(0, 2.25 I), whose log g_t is quadratic in x: the loss has no gradient there, and is less than elsewhere."""

    @register_dataclass
    @dataclass(frozen=True)
    class Quadratic:
        factor: jax.Array

        def __call__(self, x, lam):
            precision = 1 - 1 / (lam + (1 - lam) * 2.25)
            return 0.5 * self.factor * precision * jnp.sum(x**2, 1)

    x0 = 1.5 * jax.random.normal(KEY, (20_000, 2))
    grad0 = x0 * (1 - 1 / 2.25)
    key = jax.random.key(1)
    of = jax.jit(jax.value_and_grad(lambda factor: score_loss(key, Quadratic(factor), x0, grad0)))
    (best, slope), (less, _), (more, _) = of(1.0), of(0.8), of(1.2)
    assert best < min(less, more) and abs(slope) < 0.1 * (more - best) / 0.2
    # E |grad log g_0(x_0)|^2 (1 - lam) less what x_t explains of it, averaged over time
    lam = PDDS.noise(np.linspace(1e-3, 1, 20_001))
    given = 2.25 * lam / (lam + (1 - lam) * 2.25)  # variance of x_0 given x_t
    assert float(best) == pytest.approx(2 * (1 - 1 / 2.25) ** 2 * ((1 - lam) * given).mean(), rel=0.05)


@pytest.mark.parametrize("study, network", [("core.mixture", "inverse.potential_mlp"), ("inverse.logz", "core.mlp")])
def test_networks_of_another_use_are_refused(study, network):
    with pytest.raises(UsageError, match="--network .* does not fit: it exchanges .*; there are "):
        genkit.config(study, network=network)


def test_a_fresh_network_is_the_naive_potential_and_exact_without_noise():
    net = Net(PotentialMLP(8, 4), (PotentialSizes(3),))
    params = net.init(KEY)

    def log_p(x):
        return -jnp.sum(jnp.abs(x))

    x, other = jax.random.normal(KEY, (5, 3)), jax.tree.map(lambda a: a + 0.3, params)

    @jax.jit
    def both(params, lam):
        potential = LearnedPotential(net, params, jax.tree_util.Partial(log_p))
        x0 = jnp.sqrt(1 - lam) * x
        return potential(x, lam), jax.vmap(log_p)(x0) - jax.scipy.stats.norm.logpdf(x0).sum(1)

    np.testing.assert_allclose(*both(params, 0.4), rtol=1e-5)
    np.testing.assert_allclose(*both(other, 0.0), rtol=1e-5)
    learned, naive = both(other, 0.4)
    assert abs(learned - naive).max() > 0.1


def test_training_that_turns_nan_is_stopped(tmp_path):
    options = {"model.lr": 1e20, "model.clip": 1e20, "seeds": 1}
    with pytest.raises(GenkitError, match="'potential': (loss|grad_norm) is nan at step"):
        genkit.run(genkit.config("inverse.pdds", "tiny", options), out=tmp_path / "nan")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [("logz", {"methods": ("annealing",)}, "one or more of tempering, waste_free"),
     ("logz", {"methods": ("ais",)}, "ais get the evaluations of tempering; add it, or give a budget"),
     ("logz", {"alpha": 1.0}, r"alpha=1.0, .*expected alpha in \(0, 1\)"), ("logz", {"seeds": 0}, "seeds=0"),
     ("logz", {"model.pool": 0}, "pool=0"), ("pdds", {"draws": 0}, "draws=0"), ("pdds", {"decay": 2.0}, "decay=2.0")],
)  # fmt: skip
def test_wrong_options(name, options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config(f"inverse.{name}", "default", options)


def test_presets():
    full = genkit.config("inverse.logz", "full")
    assert len(full.named()) == 10 and len(full.methods) == 8
    assert PDDSPotential.preset("paper").updates == 20_000
