"""The report in a browser, at the width of a desk and of a phone; skipped where no browser is."""

import html
import itertools
import json
import re
import shutil
import subprocess

import pytest
from matplotlib.figure import Figure
from PIL import Image

import genkit
from genkit.cli import main
from genkit.experiment import Estimate, build_report, report
from genkit.experiment.report import described

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
COMMAND = ["run", "toy.study", "--label", "it's <b>", "--out", "a"]
TYPED = """genkit run toy.study --label 'it'"'"'s <b>' --out a"""

# What a person needs, as numbers: asked in frames of both widths.
ASK = """
<script>
const found = {};
async function ask(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
  const style = (at) => view.getComputedStyle(at);
  const [scroll, figure, image, button] = [".scroll", "figure", "img", "button"].map((of) => page.querySelector(of));
  const fitted = image.getBoundingClientRect().width;
  let copied = "";
  Object.defineProperty(view.navigator, "clipboard", {value: {writeText: (text) => { copied = text; }}});
  button.click();
  scroll.focus();
  const focused = page.activeElement === scroll;
  view.location.hash = figure.id;
  await new Promise((done) => setTimeout(done, 50));
  return {
    spill: root.scrollWidth - root.clientWidth, fitted, full: image.getBoundingClientRect().width,
    natural: image.naturalWidth, room: figure.querySelector(".view").clientWidth, focused, copied,
    wider: scroll.scrollWidth > scroll.clientWidth, background: style(page.body).backgroundColor,
    ink: style(page.body).color,
  };
}
addEventListener("load", async () => {
  for (const frame of document.querySelectorAll("iframe")) found[frame.width] = await ask(frame);
  document.body.textContent = JSON.stringify(found);
});
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a folder with a wide table and a figure."""
    folder = tmp_path_factory.mktemp("run")
    options = {"data": ["toy.points", "rings"], "model.data": "toy.numbers", "label": "x"}
    content = {"format": 2, "experiment": "toy.study", "preset": "tiny", "seed": 0, "options": options}
    (folder / "config.yaml").write_text(json.dumps(content))
    status = {"state": "done", "done": [], "seconds": {"train": 1.2}, "begun": "2026-11-29T06:43:01+0200"}
    (folder / "status.json").write_text(json.dumps(status))
    machine = {
        "argv": ["x", "run", "y"],
        "command": COMMAND,
        "versions": {"genkit-jax": "0.1.0", "jax": "0.10.2", "numpy": "2"},
        "python": "3.11.7",
    }
    (folder / "environment.json").write_text(json.dumps([machine | {"devices": "1 x cpu", "git": "abc"}]))
    (folder / "results.json").write_text(json.dumps({"rmse": 1.5}))
    header = ["model", *(f"a long title {i} [K]" for i in range(12))]
    report.add_table(folder, "scores", header, [["a"] + ["1.5"] * 12, ["b"] + ["2.5"] * 12], "Errors", [(0, 1), (1, 2)])
    figure = Figure(figsize=(11, 4))
    for axes, name in zip(figure.subplots(1, 2), ("RMSE", "CRPS"), strict=True):
        axes.plot([1, 2], [1, 2], label="ours")
        axes.set(title=name, xlabel="lead time [h]", ylabel="error [K]")
        axes.legend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", Figure.savefig.__wrapped__)  # as users see it
        report.add_figure(folder, "scores", figure, "Errors by lead time.")
    return build_report(folder, "toy.study", "Double a number.\n\nMore.").read_text()


def test_the_header_says_how_it_was_made(page):
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert facts["experiment"] == "toy.study, preset tiny" and facts["seed"] == "0"
    assert facts["data"] == "toy.points, rings, model.data: toy.numbers"
    assert facts["versions"] == "genkit-jax 0.1.0, jax 0.10.2, Python 3.11.7, commit abc"
    assert facts["time"] == "2026-11-29 06:43 UTC+02:00, 1 s"
    assert facts["devices"] == "1 x cpu" and "0 GB" in facts["memory"]
    assert (
        "genkit run toy.study --label &#x27;it&#x27;&quot;&#x27;&quot;&#x27;s &lt;b&gt;&#x27; --out a"
        in facts["command"]
    )


def test_what_does_not_see_or_point_finds_its_way(page):
    assert page.count("<th scope=col>") == 13 and page.count("<th scope=row>") >= 2
    assert page.count("<td class=best>1.5</td>") == page.count("<td class=best>2.5</td>") == 1
    panels = "error [K] against lead time [h], ours"
    assert f"alt='Figure of 2 panels: RMSE: {panels}; CRPS: {panels}'" in page
    assert re.findall("(?:src|href)='(?!data:|#)", page) == [] and "<script" not in page  # nothing from elsewhere


def test_figures_are_as_large_as_they_ask_for_and_lose_their_margins(tmp_path, monkeypatch):
    """Those with a layout fill their page; of others the margins are cut off."""
    monkeypatch.setattr(Figure, "savefig", Figure.savefig.__wrapped__)
    sizes = []
    for layout in ("constrained", None):
        figure = Figure(figsize=(3, 2), layout=layout)
        figure.subplots().plot([1, 2])
        with Image.open(report.add_figure(tmp_path, "one", figure, "A line.")) as picture:
            sizes.append(picture.size)
    assert sizes[0] == (330, 220)
    assert all(230 < width < 330 and 150 < height < 220 for width, height in sizes[1:])


def test_a_figure_without_words():
    assert described(Figure()) == "Figure of 0 panels"


@pytest.fixture(scope="module")
def measured(page, tmp_path_factory):
    """measured(dark): what `ASK` found, by the width of the frame."""
    if BROWSER is None:
        pytest.skip("no browser is installed")
    folder = tmp_path_factory.mktemp("browser")
    source = page.replace("&", "&amp;").replace('"', "&quot;")
    frames = "".join(f'<iframe width={width} height=800 srcdoc="{source}"></iframe>' for width in (390, 1200))
    (folder / "frames.html").write_text(f"<!doctype html><meta charset=utf-8><body>{frames}{ASK}")

    def measure(dark):
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=5000"]
        words += [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={1 - dark}"]
        command = [str(BROWSER), *words, str(folder / "frames.html")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        return json.loads(html.unescape(re.search("<body>(.*?)</body>", done.stdout, re.S)[1]))  # type: ignore[index]

    return measure


@pytest.mark.slow
def test_in_a_browser(measured):
    light, dark = measured(False), measured(True)
    for width in ("390", "1200"):
        one = light[width]
        assert one["spill"] <= 0  # the page itself never scrolls sideways
        assert one["wider"] and one["focused"]  # the table does, by keyboard too
        assert one["fitted"] <= one["room"] and one["full"] == one["natural"] > 1000
        assert one["copied"] == TYPED
        for view, brighter in ((light, "background"), (dark, "ink")):
            levels = {
                name: sum(map(int, re.findall("[0-9]+", view[width][name])[:3])) for name in ("background", "ink")
            }
            assert max(levels, key=levels.__getitem__) == brighter and abs(levels["ink"] - levels["background"]) > 450


def test_the_time_and_the_command_are_those_of_the_run(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["mine.py", "run", "x"])
    days = itertools.count(1)
    monkeypatch.setattr("genkit.experiment.folder.time.strftime", lambda _: f"day {next(days)}")
    out, facts = str(tmp_path / "a"), []
    with pytest.raises(KeyboardInterrupt):
        genkit.run(genkit.config("toy.study", mode="stop"), out=out)
    begun = json.loads((tmp_path / "a/status.json").read_text())["begun"]
    genkit.run(genkit.config("toy.study", mode="stop"), out=out, resume=True)
    assert main(["run", "toy.study", "--out", str(tmp_path / "b")]) == 0
    for name in "ab":
        facts.append(dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", (tmp_path / name / "report.html").read_text())))
    assert facts[0]["time"].startswith(f"{begun}, ") and f"genkit run {out}/config.yaml<" in facts[0]["command"]
    assert f"genkit run toy.study --out {tmp_path / 'b'}<" in facts[1]["command"]


def test_log_txt_holds_what_the_terminal_showed(toy, tmp_path):
    run = genkit.run("toy.study", preset="tiny", out=tmp_path / "a")
    run.table("x", ["model", "error [K]"], [["a", Estimate(1.0, 0.1)], ["b", 2.0]], "Errors", {"error [K]": "low"})
    log = (tmp_path / "a" / "log.txt").read_text()
    for text in ("toy.study (seed 0) in ", "Results", "│ double │", "report: ", "Errors", "│ 1.00 ± 0.10 │"):
        assert text in log
