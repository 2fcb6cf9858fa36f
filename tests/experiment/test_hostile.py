"""Run folders from a failed disk or a stranger: one line that names the file, nothing followed, nothing believed."""

import html
import json
import os
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import genkit
from genkit.cli import main
from genkit.errors import GenkitError
from genkit.experiment import Run, inspect
from genkit.files import check_plain, dump_yaml, read_yaml

EVIL = "<script>alert('x')</script>\"&amp;[red]x[/r] :smile: \x1b[2J"


@pytest.fixture
def folder(toy, tmp_path, monkeypatch):
    """A finished run, `a`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    run = genkit.run(genkit.config("toy.study", number=3), out="a")
    run.keep_items({"double/x": np.arange(4.0)}, np.arange(4))
    run.figure("some", plt.figure(figsize=(1, 1)), "A figure.")
    Path("a/metrics.jsonl").write_text(
        '{"phase": "p", "step": 1, "loss": 0.5}\n{"phase": "p", "step": 2, "loss": 0.25}\n'
    )
    return run.folder


def said(capsys, *words):
    """Exit code and the one line of a command that fails."""
    capsys.readouterr()
    code = main(list(words))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err and err.count("\n") == (code != 0), err
    return code, err


DAMAGES = {
    "config.yaml": ["", "[", "experiment: toy.study\noptions: {nmber: 1}", b"\xff\xfe", "a: &x 1\nb: *x", "[" * 500],
    "status.json": ["", "[]", "{}", '{"state": 1, "done": [], "seconds": {}}', "[" * 100_000],
    "results.json": ["", "[]", '{"double/x": "two"}', '{"double/x": {}}', b"\x00\x01"],
    "environment.json": ["", "{}", "[1]"],
    "figures/index.json": ["", "{}", "[1]", '[{"name": "../../x", "kind": "figure", "caption": ""}]',
                           '[{"name": "t", "kind": "table", "caption": "", "header": ["a"], "rows": [[1]]}]'],
    "items.npz": ["", b"PK\x03\x04 torn", b"\x93NUMPY"],
}  # fmt: skip
TABLE = {"name": "t", "kind": "table", "caption": "", "header": ["a"], "rows": [["b"]]}
LINKS = ([[0, 0, "../x"]], [[0, 0, "http://x"]], [[[], 0, "x"]], [1])
DAMAGES["figures/index.json"] += [json.dumps([TABLE | {"links": one}]) for one in LINKS]
CASES = [(file, content) for file, contents in DAMAGES.items() for content in contents]
NAMED = {"config.yaml": "show", "status.json": "report", "results.json": "compare", "items.npz": "compare"}


@pytest.mark.parametrize("file, content", CASES, ids=[f"{f}-{str(c)[:12]}" for f, c in CASES])
def test_a_damaged_file_is_named_by_doctor_and_by_who_reads_it(folder, capsys, file, content):
    path = folder / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    wrong = {what: how for what, how, good in inspect(folder) if not good}
    assert len(wrong) == 1 and str(path) in next(iter(wrong.values()))
    assert main(["doctor", str(folder)]) == 1
    if command := NAMED.get(file):
        again = [str(folder)] * (1 + (command == "compare"))
        code, err = said(capsys, command, *again)
        assert code in (1, 2) and str(path) in err


def test_a_run_in_order(folder, capsys):
    assert all(good for _, _, good in inspect(folder))
    assert main(["doctor", str(folder)]) == 0 and "2 lines" in capsys.readouterr().out


def test_a_torn_line_is_left_out(folder, capsys):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "p", "st')
    assert said(capsys, "report", str(folder)) == (0, "")
    assert "training" in genkit.load(folder).figures
    assert all(good for _, _, good in inspect(folder))  # the next training cuts it


def test_commands_are_added_to_the_environment(folder, capsys):
    file = folder / "environment.json"
    (first,) = json.loads(file.read_text())
    file.write_text(json.dumps([first | {"pid": 1, "argv": ["first"]}]))
    assert said(capsys, "report", str(folder)) == (0, "")
    argvs = [one["argv"] for one in json.loads(file.read_text())]
    assert argvs[0] == ["first"] and len(argvs) == 2
    assert said(capsys, "evaluate", str(folder)) == (0, "")
    assert len(json.loads(file.read_text())) == 2  # this process again


@pytest.mark.parametrize("name", ["log.txt", ".lock", "figures", "status.json", "report.html"])
def test_a_link_that_leaves_the_folder_is_not_followed(folder, tmp_path, capsys, name):
    outside = tmp_path / "outside"
    path = folder / name
    shutil.move(path, outside) if path.exists() else outside.write_text("mine")
    before = {p: p.read_bytes() for p in [outside, *outside.rglob("*")] if p.is_file()}
    path.symlink_to(outside)
    code, err = said(capsys, "report", str(folder))
    assert code == 1 and f"{path} is a link that leaves {folder}" in err
    code, err = said(capsys, "run", "toy.study", "--number", "3", "--out", str(folder), "--resume")
    assert code == 1 and "is a link that leaves" in err
    assert before == {p: p.read_bytes() for p in before}


def test_a_link_within_the_folder_is_taken(folder, capsys):
    (folder / "same").symlink_to("results.json")
    check_plain(folder)
    (folder / "gone").symlink_to("../nowhere")
    with pytest.raises(GenkitError, match="gone is a link that leaves"):
        check_plain(folder)


@pytest.mark.parametrize("name", ["config.yaml", "results.json", "log.txt", "new"])
def test_a_pipe_does_not_hang(folder, capsys, name):
    path = folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for words in (["report", "a"], ["compare", "a", "a"], ["doctor", "a"], ["run", "a/config.yaml", "--out", "b"]):
        capsys.readouterr()
        code = main(words)
        read = {"run": ["config.yaml"], "compare": ["config.yaml", "results.json"]}  # others look at all files
        assert (code in (1, 2)) == (name in read.get(words[0], [name])), words
    assert not any(good for what, _, good in inspect(folder) if what == "files and folders")


def test_yaml(tmp_path):
    file = tmp_path / "a.yaml"
    content = {"b": [1, "x", None, {"c": 1.5}], "a": "ä"}
    content["again"] = content["b"]  # an alias, if the writer made any
    file.write_text(dump_yaml(content))
    assert read_yaml(file) == content and list(read_yaml(file)) == list(content)
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(f'*{a}' for _ in range(9))}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    for text, reason in (
        (bomb, "alias"),
        ("a: 1\nb: {c: 1, c: 2}", "the key 'c' more than once"),
        ("{a: " * 3000, "nested more"),
        ("- " * 200 + "x", "nested more"),
    ):
        file.write_text(text)
        with pytest.raises(GenkitError, match=reason) as caught:
            read_yaml(file)
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_everything_in_a_report_is_text(folder, capsys):
    """A hostile string as name, value, caption, header, cell, option, state, machine, docstring."""
    run = genkit.load(folder)
    table = {"name": EVIL.replace("/", ""), "kind": "table", "caption": EVIL, "header": [EVIL], "rows": [[EVIL]]}
    table["links"] = [[0, 0, "".join(c for c in EVIL if c not in ":\\")]]
    shutil.copy(folder / "figures/some.png", folder / "figures/evil.png")
    figure = {"name": "evil", "kind": "figure", "caption": EVIL}
    (folder / "figures/index.json").write_text(json.dumps([table, figure]))
    (folder / "results.json").write_text(json.dumps({EVIL: 1.0}))
    status = {"state": EVIL, "done": [EVIL], "seconds": {EVIL: EVIL}, "time": EVIL, "host": EVIL, "message": EVIL}
    (folder / "status.json").write_text(json.dumps(status))
    machine = {"devices": EVIL, "peak_memory_gb": EVIL, "argv": [EVIL], EVIL: EVIL}
    (folder / "environment.json").write_text(json.dumps([machine]))
    (folder / "config.yaml").write_text(dump_yaml({"seed": EVIL, "preset": EVIL, "options": {EVIL: [EVIL]}}))
    from genkit.experiment import build_report

    page = build_report(folder, EVIL, EVIL).read_text()
    assert "<script" not in page.lower() and "alert('x')" not in page
    assert page.count(html.escape(EVIL)) >= 10
    outside = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    tags = {"!doctype", "html", "meta", "title", "main", "h1", "h2", "p", "div", "table", "caption", "thead", "tbody",
            "tr", "th", "td", "figure", "img", "figcaption", "details", "summary", "dl", "dt",
            "dd", "code", "a", "button"}  # fmt: skip
    assert {tag.lower() for tag in re.findall(r"</?([^\s>/]+)", outside)} <= tags
    assert run.results == {EVIL: 1.0}


def test_what_users_say_is_no_markup(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a[lr=0.1]", "q[/r]", "b:smile:"):
        assert main(["run", "toy.study", "--number", "3", "--out", name]) == 0
        assert f"in {name}" in capsys.readouterr().out
    assert main(["report", "q[/r]"]) == 0
    assert main(["compare", "q[/r]", "b:smile:"]) == 0
    out = capsys.readouterr().out
    assert "q[/r]" in out and "b:smile:" in out
    from genkit.terminal import console

    run = Run(genkit.config("toy.study"), tmp_path)
    run.console = console(width=100)
    run.table("t", ["t2m [degC]", "[/b]"], [["[red]x", 1.0]], "In [degC]")
    out = capsys.readouterr().out
    assert all(text in out for text in ("t2m [degC]", "[/b]", "[red]x", "In [degC]"))
