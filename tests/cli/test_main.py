"""The command line: exit codes, one-line errors, closed pipes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import genkit
from genkit.cli import main


@pytest.fixture
def cli(toy, tmp_path, monkeypatch, capsys):
    """cli("run", "toy.study"): (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_commands(cli, words):
    code, out, err = cli(*words)
    assert (code, err) == (0, "")
    for name in ("run", "list", "new-plugin", "doctor", "completion"):
        assert f"  {name} " in out


def test_version(cli):
    assert cli("--version") == (0, "genkit 0.2.0\n", "")


@pytest.mark.parametrize("command", ["export", "sweep", "data", "new-plugin", "completion", "run", "compare"])
def test_every_command_has_help(cli, command):
    code, out, err = cli(command, "--help")
    assert (code, err) == (0, "") and "usage" in out


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["rum"], 2, "unknown command 'rum'; did you mean 'run'?"),
        (["zzzz"], 2, "unknown command 'zzzz'; `genkit --help` lists the commands"),
        (["run", "toy.studi"], 2, "unknown experiment 'toy.studi'; did you mean 'toy.study'?"),
        (["run", "toy.study", "--sampler", "slw"], 2, "unknown sampler 'slw'; did you mean 'slow'?"),
        (["run", "toy.study", "--number=-1"], 2, "number=-1 must not be negative"),
        (["run", "toy.study", "--preset", "huge"], 2, "toy.study has no preset 'huge'; it has tiny and default"),
        (["run", "toy.study", "--resume"], 2, "--resume needs --out DIR, the folder of the run to continue"),
        (["run", "none.yaml"], 2, "none.yaml does not exist; expected a config.yaml of a run"),
        (["run", "x:Y"], 2, "x:Y cannot be loaded: ModuleNotFoundError: No module named 'x'"),
        (["run", "toy.study", "--mode", "fail", "--out", "a"], 1, "the data are bad; mend them"),
        (["run", "toy.study", "--mode", "stop", "--out", "a"], 130, "interrupted; --out DIR --resume continues a run"),
        (["run", ":"], 2, ": names no class; expected module:Class, such as my_module:MyData"),
        (["run", "x:"], 2, "x: names no class; expected module:Class"),
        (["report", "a" * 300], 2, f"{'a' * 300} is no run folder"),
        (["run", "toy.study", "--out", "a" * 300], 1, f"cannot use {'a' * 300}: File name too long; check the path"),
        (["list", "cats"], 2, "unknown kind 'cats'; expected one of"),
        (["compare", "a"], 2, "compare needs at least two run folders, got 1"),
        (["sample", "nowhere"], 2, "nowhere is no run folder: it has no config.yaml; `genkit run` makes one"),
        (["export", "nowhere"], 2, "nowhere is no run folder"),
    ],
)
def test_errors_are_one_line(cli, words, code, message):
    found, _, err = cli(*words)
    assert found == code
    assert err.startswith(f"genkit: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("words", [["--nmber", "3"], ["--number", "x"], ["--mode", "q"], ["--extra.steps", "1"]])
def test_a_wrong_option_is_a_short_box(cli, words):
    code, out, err = cli("run", "toy.study", *words)
    assert code == 2 and out == "" and "Traceback" not in err
    assert 3 <= err.count("\n") <= 14 and words[0] in err


def test_a_bug_names_its_own_frame(cli):
    code, _, err = cli("run", "toy.study", "--mode", "bug", "--out", "a")
    assert code == 1 and err.count("\n") == 1
    assert err.startswith("genkit: ZeroDivisionError: a bug (")
    assert "toy_plugin.py:" in err and err.endswith("--debug shows all\n")


def test_an_error_within_others_code_names_the_users_line(cli, toy, monkeypatch, tmp_path):
    """The last frames are those of libraries; log.txt has all of them."""
    (tmp_path / "users_own.py").write_text("import json\n\n\ndef sample(self, run):\n    return json.loads('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import users_own  # type: ignore[import-not-found]

    monkeypatch.setattr(toy.Study, "sample", users_own.sample)
    code, _, err = cli("run", "toy.study", "--out", "a")
    place = f"({tmp_path / 'users_own.py'}:5); --debug shows all\n"
    assert code == 1 and err == f"genkit: JSONDecodeError: Expecting value: line 1 column 1 (char 0) {place}"
    log = Path("a/log.txt").read_text()
    assert "Traceback (most recent call last)" in log and "json/decoder.py" in log and "in raw_decode" in log
    with pytest.raises(ValueError, match="Expecting value"):  # in Python the error itself
        genkit.run("toy.study", out="b")


def test_a_memory_that_is_too_small(cli, toy, monkeypatch):
    def full(self, run):
        raise MemoryError("Unable to allocate 29.1 TiB")

    monkeypatch.setattr(toy.Study, "sample", full)
    code, _, err = cli("run", "toy.study", "--out", "a")
    message = (
        "genkit: the memory is too small (Unable to allocate 29.1 TiB); ask for less at once: batch, chunk, width\n"
    )
    assert (code, err) == (1, message)


@pytest.mark.parametrize("mode, error", [("bug", "ZeroDivisionError: a bug"), ("fail", "DataError: the data are bad")])
def test_debug_shows_all(cli, mode, error):
    code, _, err = cli("run", "toy.study", "--debug", "--mode", mode, "--out", "a")
    assert code == 1 and "Traceback" in err and error in err


def test_a_run_from_start_to_end(cli):
    code, out, err = cli("run", "toy.study", "--number", "3", "--out", "a", "--seed", "4")
    assert (code, err) == (0, "") and "report: a/report.html" in out and "Results" in out
    again = cli("run", "toy.study", "--number", "3", "--out", "a", "--seed", "4", "--resume")
    assert again == (0, "a is done already\nreport: a/report.html\n", "")
    code, _, err = cli("run", "toy.study", "--number", "4", "--out", "a", "--seed", "4", "--resume")
    assert code == 2 and "number: 3 -> 4" in err
    assert cli("run", "a/config.yaml", "--out", "b")[0] == 0
    assert Path("a/config.yaml").read_text() == Path("b/config.yaml").read_text()
    assert Path("a/results.json").read_text() == Path("b/results.json").read_text()
    assert cli("run", "a/config.yaml", "--number", "5", "--out", "c")[0] == 0
    code, out, err = cli("compare", "a", "c", "--only", "double/*")
    assert (code, err) == (0, "") and "number" in out and "double/x" in out and "undefined" not in out
    assert "bootstrap" not in out
    for folder, values in (("a", np.arange(20.0)), ("c", np.arange(20.0) + 0.25)):
        genkit.load(folder).keep_items({"double/x": values, "other": values}, np.arange(20))
    code, out, err = cli("compare", "a", "c", "--only", "double/*")
    assert "paired bootstrap" in out and "0.25 [0.25, 0.25]" in out and "other" not in out
    genkit.load("c").keep_items({"double/x": np.zeros(20)}, np.arange(20) + 1)
    assert "bootstrap" not in cli("compare", "a", "c")[1]
    code, _, err = cli("compare", "a", "c", "--only", "zz")
    assert code == 2 and "no result matches 'zz'" in err
    assert cli("report", "a")[0] == cli("evaluate", "a")[0] == 0
    assert cli("sample", "a", "--n", "2", "--out", "s.npz")[0] == 0 and Path("s.npz").exists()


def test_dry_run_and_show(cli):
    code, out, err = cli("run", "toy.study", "--number", "3", "--dry_run")
    assert (code, err) == (0, "") and "number: 3" in out and "# memory: none" in out
    assert os.listdir() == []
    assert cli("show", "toy.study", "--number", "3")[1] == out
    cli("run", "toy.study", "--number", "3", "--out", "a")
    assert cli("show", "a")[1] == out + "# state: done\n# double/x: 6\n# seed: 0\n# undefined: –\n# infinite: –\n"
    assert cli("show", "a", "--number", "3")[1] == out  # of other options there are no results
    config = Path("a/config.yaml")
    config.write_text(config.read_text().replace("toy.study", "gone.study"))
    code, out, err = cli("show", "a")  # its plugin is not here
    assert (
        (code, err) == (0, "")
        and "number: 3" in out
        and "# as it stands there; the plugin 'gone' is not installed here" in out
    )
    assert cli("show", "a", "--number", "4")[0] == 2 and cli("show", "empty")[0] == 2


def test_a_broken_plugin_is_listed_and_the_rest_works(cli, install):
    install("bad", "raise RuntimeError('no luck')")
    code, out, err = cli("plugins")
    assert (code, err) == (0, "") and "bad 1.0" in out and "broken: RuntimeError: no luck" in out
    assert "Traceback" in cli("plugins", "--verbose")[1]
    assert "toy.study" in cli("list")[1] and "bad" not in cli("list")[1]
    code, _, err = cli("run", "bad.study")
    assert code == 1 and "the plugin 'bad' is broken (RuntimeError: no luck)" in err and err.count("\n") == 1


def test_a_plugin_may_bring_a_command(cli, install):
    install(
        "more",
        "from dataclasses import dataclass\nfrom genkit.plugin import Plugin\n"
        "@dataclass(frozen=True)\nclass Greet:\n    '''Greet.'''\n    name: str = 'you'\n"
        "    def run(self):\n        print('hello', self.name)\n        return 7\n"
        "plugin = Plugin('more', '', commands={'greet': ('more_plugin:Greet', 'say hello')})\n",
    )
    assert cli("greet", "--name", "me") == (7, "hello me\n", "")
    assert "greet        say hello" in cli("--help")[1]


def test_lists(cli):
    assert "toy.points" in cli("list", "datasets")[1]
    assert all(word in cli("list", "all")[1] for word in ("samplers:", "toy.slow", "core.heun", "commands:"))


def test_signals_are_as_before(cli):
    before = signal.getsignal(signal.SIGTERM)
    cli("list")
    assert signal.getsignal(signal.SIGTERM) is before


def process(*words, **options):
    return subprocess.Popen([sys.executable, "-m", "_genkit_jax", *words], text=True, **options)


def test_a_closed_pipe_ends_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    with process("list", "all", stdout=writer, stderr=subprocess.PIPE) as running:
        os.close(writer)
        assert running.communicate()[1] == ""
    assert running.returncode == 0
