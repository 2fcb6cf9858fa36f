"""Likelihoods, detectors and their scores against closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

from genkit.diffusion import VE, VP, NetworkDenoiser, SubVP
from genkit.errors import DataError, UsageError
from genkit.nn import Net, parameter_count
from genkit.testing import gaussian_denoiser
from genkit_representations import density
from genkit_representations.data import Split
from genkit_representations.datasets.heldout import Features, HeldOutDigits
from genkit_representations.datasets.normal import Normal
from genkit_representations.models.density import FeatureDensity, Integrator
from genkit_representations.models.rdm import RDM, likelihood_weight, linear_classifier
from genkit_representations.networks.feature_mlp import FeatureMLP

RATES = {"b0": 0.2, "b1": 20.0, "t_min": 1e-5}
PROCESSES = {"vp": VP(**RATES), "sub_vp": SubVP(**RATES), "ve": VE(0.01, 50.0)}
MEAN, VARIANCE = np.array([1, -2, 0.5, 3]), np.array([0.25, 1, 4, 0.01])
POINT = np.array([[1.2, -1, 0, 3.05]])
RNG = np.random.default_rng(0)


# the flow


@pytest.mark.parametrize(("name", "known", "origin"), [("vp", -2.1083292721, -1.8378770664),
                                                       ("sub_vp", -2.1083035465, -1.8379161441),
                                                       ("ve", -2.1107360769, None)])  # fmt: skip
def test_the_flow_of_normal_data(name, known, origin):
    """Closed form and flow agree, and both have the known value; the true log density is near."""
    process = PROCESSES[name]
    closed = density.flow_of_gaussian(process, POINT, MEAN, VARIANCE)[0]
    assert closed == pytest.approx(known, abs=1e-9)
    if origin is not None:
        assert density.flow_of_gaussian(process, np.zeros((1, 2)), np.zeros(2), np.ones(2))[0] == pytest.approx(origin)
    with jax.enable_x64(True):
        exact = gaussian_denoiser(jnp.asarray(MEAN), jnp.asarray(VARIANCE**0.5), process=process)
        x = jnp.asarray(POINT)
        found = density.flow_log_prob(jax.random.key(0), x, exact, solver="dopri5", tolerance=1e-9).log_p[0]
    assert found == pytest.approx(known, abs=1e-6)
    assert found == pytest.approx(-2.1094190398, abs=5e-3)


def test_the_flow_turns_with_the_data():
    """A normal distribution turned by a rotation; estimates of the trace are right on average."""
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))
    exact = gaussian_denoiser(jnp.asarray(turn @ MEAN), cov=(turn * VARIANCE) @ turn.T, process=PROCESSES["sub_vp"])
    x, key = POINT @ turn.T, jax.random.key(0)
    found = density.flow_log_prob(key, jnp.asarray(x), exact, solver="rk4", steps=150).log_p[0]
    assert found == pytest.approx(-2.1083035465, abs=2e-3)  # float32
    one = jax.jit(lambda key: density.flow_log_prob(key, jnp.asarray(x), exact, trace="rademacher", steps=40).log_p[0])
    draws = np.asarray(jax.lax.map(one, jax.random.split(key, 4096), batch_size=1024))
    mean = density.flow_log_prob(key, jnp.asarray(x), exact, solver="rk4", steps=40).log_p[0]
    assert abs(draws.mean() - mean) < 4 * draws.std() / 64
    several = density.flow_log_prob(key, jnp.asarray(x), exact, trace="rademacher", probes=256, steps=40).log_p[0]
    assert abs(several - mean) < 5 * draws.std() / 16


@pytest.fixture(scope="module")
def model():
    """An untrained density of six components of eight features, whose last layer is not zero."""
    x = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32) * np.arange(1, 9, dtype=np.float32)
    net = Net(FeatureMLP(16, 2, 8), (6,))
    params = net.init(jax.random.key(0))
    noise = 0.1 * jax.random.normal(jax.random.key(1), params["last"]["kernel"].shape)
    params["last"]["kernel"] = noise
    process = SubVP(b0=0.2, b1=20.0, t_min=1e-2)
    pre = density.preprocess(x, 6, True)
    return FeatureDensity(NetworkDenoiser(net, params, process), pre, None, Integrator(steps=4)), x


def test_values_do_not_depend_on_the_batch(model):
    """Neither of the exact nor of estimated traces, nor of adaptive steps."""
    model, x = model
    some = x[:7]
    for integrator in (Integrator(steps=4), Integrator("dopri5", tolerance=1e-3, trace="rademacher", probes=2)):
        of = dataclasses.replace(model, integrator=integrator)
        whole = of.log_prob(some)
        np.testing.assert_allclose(of.log_prob(some[::-1])[::-1], whole, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([of.log_prob(some[:3]), of.log_prob(some[3:])]), whole, atol=1e-5)
    assert (model.log_prob(some, seed=1) == model.log_prob(some)).all()  # the exact trace draws nothing


@pytest.mark.parametrize("scaled", [True, False])
def test_an_untrained_density_is_normal(scaled):
    """Preconditioned, a network of zero is the denoiser of normal data with the deviations of the training features."""
    x = (np.random.default_rng(0).standard_normal((200, 3)) * [1, 2, 0.5] + 1).astype(np.float32)
    recipe = RDM(network=FeatureMLP(8, 1, 8), components=None, scaled=scaled, integrator=Integrator(steps=80))
    model = recipe._untrained(Split(x, x, {"a": x}))
    params = model.denoiser.network.init(jax.random.key(0))
    model = dataclasses.replace(model, denoiser=dataclasses.replace(model.denoiser, params=params))
    pre = model.preprocessing
    z = np.asarray(pre(x), float)
    known = density.flow_of_gaussian(recipe.process, z[:9], np.zeros(3), z.var(0)) + pre.log_det()
    np.testing.assert_allclose(model.log_prob(x[:9], "input"), known, atol=1e-3)
    law = stats.multivariate_normal(x.mean(0), np.cov(x.T, ddof=0))  # what it is without the ends of the path
    np.testing.assert_allclose(known, law.logpdf(x[:9]), atol=1e-2)


def test_space(model):
    """A density of the features themselves needs all dimensions; then it is that of z and the change of variables."""
    model, x = model
    with pytest.raises(UsageError, match="keep 6 of 8"):
        model.log_prob(x[:2], "input")
    pre = density.preprocess(x)
    z = pre(x)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-4)
    _, log_det = np.linalg.slogdet(np.asarray(pre.rotation) / np.asarray(pre.scale))
    assert pre.log_det() == pytest.approx(log_det, abs=1e-5)
    moments = density.preprocess(x + 5, 1)  # published: of the second moment, so the mean leads
    direction = (x + 5).mean(0) / np.linalg.norm((x + 5).mean(0))
    assert abs(direction @ moments.rotation[:, 0]) > 0.8


def test_scoped_of_normal_data():
    """Of N(0, v) the score is -x / P and its trace -d / P; their ratio is |x|^2 / (d P), 1 on average."""
    process, v = PROCESSES["vp"], 2.0
    exact = gaussian_denoiser(jnp.zeros(3), jnp.full(3, v**0.5), process=process)
    t = jnp.float32(0.3)
    p = float(process.alpha(t) ** 2 * v + process.sigma(t) ** 2)
    x = jnp.asarray(RNG.standard_normal((2000, 3)) * p**0.5, jnp.float32)
    square, trace = density.score_and_curvature(exact, x, t, jnp.ones((1, 3)))
    np.testing.assert_allclose(square, (x**2).sum(1) / p**2, rtol=1e-4)
    np.testing.assert_allclose(trace, -3 / p, rtol=1e-4)
    assert density.ratio(np.asarray(square), np.asarray(trace)).mean() == pytest.approx(1, abs=0.06)
    law = density.kernel_density(np.exp(RNG.standard_normal(2000)))
    np.testing.assert_allclose(law(np.exp(np.array([0.0, 1]))), stats.norm.logpdf([0, 1]), atol=0.1)


def test_the_network():
    """The published one has 69 163 264 parameters; it starts at zero; the class counts only where it is given."""
    assert parameter_count(Net(FeatureMLP.preset("paper"), (768,)).shapes()) == 69_163_264
    net = Net(FeatureMLP(16, 2, 8), (3,))
    params, x, t = net.init(jax.random.key(0)), jnp.ones((2, 3)), jnp.array([0.1, 0.9])
    assert jnp.all(net(params, x, t) == 0)
    params["last"]["kernel"] = jnp.ones_like(params["last"]["kernel"])
    params["blocks"]["outward"]["kernel"] = jnp.ones_like(params["blocks"]["outward"]["kernel"])
    without, one, two = (net(params, x, t, c) for c in (None, jnp.ones(2), 2 * jnp.ones(2)))
    assert jnp.abs(without[0] - without[1]).max() > 1e-6
    assert jnp.abs(one - two).max() > 1e-6 and jnp.abs(one - without).max() > 1e-6


def test_the_weight_of_the_likelihood():
    """g^2 |s + z / sigma|^2 with s = -F / sigma and F - z = -alpha / sigma (D - x_0)."""
    process, t = PROCESSES["sub_vp"], jnp.float32(0.4)
    alpha, sigma, x0, z, d = process.alpha(t), process.sigma(t), 0.7, -1.2, 0.5
    x = alpha * x0 + sigma * z
    square = float(process.b0 + (process.b1 - process.b0) * t) * (1 - alpha**4)
    known = square * (process.score(jnp.array([x]), t, jnp.array([d]))[0] + z / sigma) ** 2
    assert likelihood_weight(process, t) * (d - x0) ** 2 == pytest.approx(float(known), rel=1e-4)


# detection


def test_scores_of_detectors():
    """With ties; beside scikit-learn and a count."""
    known, unknown = np.round(RNG.standard_normal(200) + 1, 1), np.round(RNG.standard_normal(300), 1)
    y = np.r_[np.ones(200), np.zeros(300)]
    s = np.concatenate([known, unknown])
    found = density.detection(known, unknown)
    assert found.auroc == pytest.approx(roc_auc_score(y, s))
    precision, recall, _ = precision_recall_curve(y, s)
    assert found.aupr_in == pytest.approx(auc(recall, precision))
    precision, recall, _ = precision_recall_curve(1 - y, -s)
    assert found.aupr_out == pytest.approx(auc(recall, precision))
    threshold = np.sort(known)[::-1][189]  # the 190th largest
    assert found.fpr95_id == pytest.approx((unknown >= threshold).mean())
    least = min(t for t in np.unique(unknown) if (unknown <= t).mean() >= 0.95)
    assert found.fpr95_ood == pytest.approx((known <= least).mean())
    x, y = density.curve(known, unknown)
    assert -np.trapezoid(y, x) == pytest.approx(found.auroc)
    with pytest.raises(DataError, match="1 of 3 are NaN"):
        density.detection(np.array([1, np.nan, 2]), unknown)


@pytest.mark.parametrize(
    ("d", "square", "auroc", "fpr"),
    [(2, 3, 0.763817, 0.678476), (16, 4, 0.672699, 0.826100), (64, 4, 0.595587, 0.898915),
     (64, 16, 0.815793, 0.624484)],
)  # fmt: skip
def test_moved_normals(d, square, auroc, fpr):
    found = density.moved(d, square)
    assert found["auroc"] == pytest.approx(auroc, abs=1e-6) and found["fpr95_id"] == pytest.approx(fpr, abs=1e-6)


def test_scaled_normals_and_typicality():
    """Likelihood prefers narrow unknown data to known ones, typicality does not."""
    known = {(16, 0.5): 0.088232, (64, 0.5): 0.003119, (16, 2): 0.911768, (64, 2): 0.996881}
    for (d, v), value in known.items():
        assert density.scaled(d, v)["auroc"] == pytest.approx(value, abs=1e-6)
    found = density.scaled(16, 2)
    assert (found["fpr95_id"], found["fpr95_ood"]) == pytest.approx((0.338101, 0.458327), abs=1e-6)
    n = 4000
    a, b = -0.5 * stats.chi2(16).rvs((2, n), random_state=0)
    for v in (0.5, 2.0):
        got = density.detection(a, v * b)
        exact = density.scaled(16, v)
        error = 4 * 0.5 / n**0.5
        for name, value in exact.items():
            assert getattr(got, name) == pytest.approx(value, abs=error)
    assert density.auroc(a, 0.5 * b) < 0.5 < density.auroc(*(density.typicality(s, a) for s in (a, 0.5 * b)))


def test_p_values_are_uniform_on_known_data():
    """At most a share q of fresh known scores has a p-value up to q."""
    fresh, calibration = RNG.standard_normal(20_000), RNG.standard_normal(199)
    p = density.p_values(fresh, calibration)
    assert p.min() >= 1 / 200 and p.max() <= 1
    # given the calibration the share is a beta variable about q
    for q in (0.05, 0.5):
        law = stats.beta(q * 200, 200 - q * 200)
        assert law.ppf(1e-4) < (p <= q).mean() < law.ppf(1 - 1e-4)
    assert density.p_values(np.array([-9.0, 9.0]), calibration).tolist() == [1 / 200, 1.0]


def test_detectors_by_logits():
    logits = np.array([[2.0, 0.0, -1.0], [0.1, 0.0, 0.05]])
    e = np.exp(logits)
    p = e / e.sum(1, keepdims=True)
    np.testing.assert_allclose(density.msp(logits), p.max(1))
    np.testing.assert_allclose(density.energy(logits), np.log(e.sum(1)))
    np.testing.assert_allclose(density.energy(logits, 2), 2 * np.log(np.exp(logits / 2).sum(1)))
    assert density.max_logit(logits).tolist() == [2, 0.1]
    two = [-sum((q * (1 - q)) ** 0.1 for q in np.sort(row)[::-1][:2]) for row in p]
    np.testing.assert_allclose(density.gen(logits, 0.1, 2), two)
    train = np.array([[2.0, 0.0, -1.0], [1.0, 0.5, 0.0], [0.0, 1.5, 0.3]])  # predicted as classes 0, 0 and 1
    each = np.exp(train) / np.exp(train).sum(1, keepdims=True)
    means = [each[:2].mean(0), each[2]]
    known = [-min(stats.entropy(row, mean) for mean in means) for row in p]
    np.testing.assert_allclose(density.kl_matching(train, logits), known, atol=1e-12)
    x = RNG.standard_normal((50, 2))
    w, b, top = RNG.standard_normal((2, 3)), np.zeros(3), np.quantile(x, 0.9)
    np.testing.assert_allclose(density.react(x, x, w, b), density.energy(np.minimum(x, top) @ w))


def test_detectors_by_features():
    """Against scipy and against a count."""
    x = RNG.standard_normal((400, 3)) @ np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 2]]) + 1
    labels, more = np.arange(400) % 2, RNG.standard_normal((5, 3))
    gaussian = density.Gaussian.fit(x)
    known = stats.multivariate_normal(x.mean(0), np.cov(x.T, ddof=0)).logpdf(more)
    np.testing.assert_allclose(gaussian(more), known)
    assert gaussian.shrink == 0
    means = np.stack([x[labels == c].mean(0) for c in (0, 1)])
    tied = sum(np.cov(x[labels == c].T, ddof=0) for c in (0, 1)) / 2
    each = [[(a - m) @ np.linalg.solve(tied, a - m) for m in means] for a in more]
    np.testing.assert_allclose(density.Mahalanobis.fit(x, labels)(more), -np.min(each, 1))
    relative = density.Mahalanobis.fit(x, labels, relative=True)(more)
    np.testing.assert_allclose(relative, gaussian.distance(more) - np.min(each, 1))
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)  # noqa: E731
    square = ((unit(more)[:, None] - unit(x)[None]) ** 2).sum(-1)
    np.testing.assert_allclose(density.KNN.fit(x, 7)(more), -np.sort(square, 1)[:, 6], atol=1e-12)
    raw = ((more[:, None] - x[None]) ** 2).sum(-1)
    np.testing.assert_allclose(density.KNN.fit(x, 7, normalised=False)(more), -np.sort(raw, 1)[:, 6])
    logits = RNG.standard_normal((400, 4))
    vim = density.ViM.fit(x, logits, 2)
    _, vectors = np.linalg.eigh(np.cov(x.T, ddof=0))
    rest = np.abs((x - x.mean(0)) @ vectors[:, 0])
    assert vim.alpha == pytest.approx(logits.max(1).mean() / rest.mean())
    away = np.abs((more - x.mean(0)) @ vectors[:, 0])
    np.testing.assert_allclose(vim(more, logits[:5]), density.energy(logits[:5]) - vim.alpha * away)


def test_fewer_features_than_dimensions():
    """The covariance is shrunk, as Ledoit and Wolf do, and says so; nothing random comes out."""
    from sklearn.covariance import ledoit_wolf

    x = RNG.standard_normal((20, 30)) * np.linspace(1, 3, 30)
    gaussian = density.Gaussian.fit(x)
    known, amount = ledoit_wolf(x)
    assert gaussian.shrink == pytest.approx(amount)
    np.testing.assert_allclose(np.linalg.inv(gaussian.precision), known, rtol=1e-6)
    assert density.auroc(gaussian(RNG.standard_normal((200, 30)) * np.linspace(1, 3, 30)), gaussian(4 * x)) > 0.9
    with pytest.raises(DataError, match="do not vary"):
        density.covariance(np.zeros((5, 2)))


def test_known_cells_of_the_digits():
    """Digits {8, 9} held out, even rows to train, 20 centred principal components."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    row, unknown = np.arange(len(y)), np.isin(y, (8, 9))
    train, test = ~unknown & (row % 2 == 0), ~unknown & (row % 2 == 1)
    pre = density.preprocess(x[train] / 16, 20, centred=True, scaled=False)
    a, b, o = (pre(x[rows] / 16) for rows in (train, test, unknown))
    assert (len(a), len(b), len(o)) == (722, 721, 354)
    cells = {
        "gaussian": (density.Gaussian.fit(a), 0.6383, 0.9124, 0.8294),
        "mahalanobis": (density.Mahalanobis.fit(a, y[train]), 0.8714, 0.7627, 0.3232),
        "knn": (density.KNN.fit(a, 1), 0.9813, 0.0932, 0.0846),
        "raw": (density.KNN.fit(a, 5, normalised=False), 0.9520, 0.2825, 0.1442),
    }
    for score, *known in cells.values():
        found = density.detection(score(b), score(o))
        assert [found.auroc, found.fpr95_id, found.fpr95_ood] == pytest.approx(known, abs=6e-5)


# data


def test_splits_of_the_digits():
    """As the first two of numpy's permutation say; train and test halve the rest; labels are ranks."""
    for k, split in enumerate(HeldOutDigits(splits=2).load().splits):
        classes = np.random.default_rng(k).permutation(10)
        assert list(split.ood) == ["digits " + " and ".join(str(c) for c in sorted(classes[:2]))]
        assert abs(len(split.train) - len(split.test)) <= 1 and set(split.labels) == set(range(8))
        assert len(split.train) + len(split.test) + sum(map(len, split.ood.values())) == 1797


def test_own_features(tmp_path):
    """From a file; what is wrong is said in one line."""
    rows = {name: RNG.standard_normal((n, 3)) for name, n in {"train": 6, "test": 4, "ood/a": 5}.items()}
    rows["labels"] = np.array([5, 7, 5, 7, 5, 7])
    file = tmp_path / "x.npz"

    def load(**changes):
        np.savez(file, **{k: v for k, v in {**rows, **changes}.items() if v is not None})
        return Features(file).load().splits[0]

    split = load()
    assert split.labels.tolist() == [0, 1, 0, 1, 0, 1] and split.ood["a"].dtype == np.float32
    assert load(labels=None).labels is None
    nan = rows["train"].copy()
    nan[2, 1] = np.nan
    wrong = [
        ({"train": nan}, "the first is row 2"),
        ({"labels": np.zeros(6, int)}, "one class"),
        ({"labels": np.zeros(5, int)}, "expected \\(6,\\)"),
        ({"test": None}, "lacks test"),
        ({"ood/a": None}, "no out-of-distribution set"),
        ({"test": np.ones((4, 2))}, "expected \\(n, 3\\)"),
    ]
    for changes, says in wrong:
        with pytest.raises(DataError, match=says):
            load(**changes)
    with pytest.raises(DataError, match="does not exist"):
        Features(tmp_path / "none.npz").load()


def test_wrong_features():
    x = RNG.standard_normal((30, 3))
    x[:, 1] = 2
    with pytest.raises(DataError, match="columns \\[1\\] are constant"):
        density.preprocess(x, centred=True)
    assert density.preprocess(x, 2, centred=True).rotation.shape == (3, 2)
    with pytest.raises(UsageError, match="components=4"):
        density.preprocess(x, 4)
    with pytest.raises(DataError, match="one class"):
        Split(x, x, {"a": x}, np.zeros(30, int))


def test_a_classifier_of_two_classes_has_two_logits():
    x = np.concatenate([RNG.standard_normal((40, 2)) - 3, RNG.standard_normal((40, 2)) + 3])
    head = linear_classifier(x, np.repeat([0, 1], 40))
    assert ((x @ head["w"] + head["b"]).argmax(1) == np.repeat([0, 1], 40)).all()


def test_the_normal_data_have_their_density():
    """Its mean over fresh draws is minus the entropy; a mixture integrates to 1."""
    data = Normal(points=10, test=4000)
    x = data.load().splits[0].test
    entropy = 0.5 * np.log(2 * np.pi * np.e * np.geomspace(0.25, 4, 8)).sum()
    assert data.log_density(x).mean() == pytest.approx(-entropy, abs=4 * 2 / 4000**0.5)
    side = np.linspace(-8, 8, 161)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    assert np.exp(Normal("mixture").log_density(grid)).sum() * 0.01 == pytest.approx(1, abs=1e-4)
