"""Completion: candidates from the registry, and the shells that ask for them."""

import shutil
import subprocess
import sys

import pytest

from genkit.cli import main
from genkit.cli.completion import candidates


@pytest.mark.parametrize(
    "line, some, none",
    [
        ("", ["run", "list", "new-plugin", "--help"], []),
        ("ru", ["run"], ["list"]),
        ("run ", ["core.mixture", "toy.study"], ["run"]),
        ("run toy.", ["toy.study"], ["core.mixture"]),
        ("sweep toy.", ["toy.study"], []),
        ("list ", ["experiments", "samplers", "all"], []),
        ("list n", ["networks"], ["samplers"]),
        ("completion ", ["bash", "zsh"], []),
        ("data ", ["list", "fetch", "path"], []),
        ("data fetch toy", ["toy.points"], []),
        ("compare --", ["--only"], ["--runs"]),
        ("export m --to s", ["safetensors"], ["npz"]),
        ("import ", ["toy-text"], ["toy.fitted"]),
        ("sample m --", ["--out", "--n"], ["--path"]),
        ("export --", ["--out", "--trust"], ["--run_folder"]),
        ("run toy.study --", ["--number", "--sampler", "--sampler.steps", "--seed", "--preset"], ["--extra.steps"]),
        ("run toy.study --extra slow --extra.", ["--extra.steps", "--extra.levels.low"], ["--extra.base"]),
        ("run toy.study --sampler=slow --sampler.", ["--sampler.steps"], []),
        ("run toy.study --sampler corrected --sampler.", ["--sampler.base.steps"], ["--sampler.steps"]),
        ("run toy.study --sampler corrected --sampler.inner ", ["slow", "heun", "none"], ["--sampler.base"]),
        ("run toy.study --sampler ", ["slow", "corrected", "heun"], ["none", "net"]),
        ("run toy.study --sampler = h", ["heun"], ["slow"]),
        ("run toy.study --preset ", ["tiny", "default", "paper"], []),
        ("run toy.study --mode ", ["good", "fail"], ["--mode"]),
        ("run toy.study --flag ", ["True", "False"], []),
        ("sweep toy.study --launcher ", ["local", "slurm"], []),
        ("sweep toy.study --", ["--jobs", "--resume", "--number"], []),
    ],
)
def test_candidates(toy, line, some, none):
    found = candidates(line.split(" "))
    assert set(some) <= set(found) and not set(none) & set(found)


@pytest.mark.parametrize("line", ["run nothing.at.all --", "run ./config.y", "zzz ", "sample ", "run toy.study --x.y "])
def test_a_line_that_makes_no_sense_is_quiet(toy, line):
    assert isinstance(candidates(line.split(" ")), list)


def test_commands_and_experiments_are_found_without_jax():
    code = (
        "import sys\nfrom genkit.cli.completion import candidates\n"
        "assert 'run' in candidates(['']) and 'core.mixture' in candidates(['run', ''])\n"
        "assert 'networks' in candidates(['list', '']) and 'list' in candidates(['data', ''])\n"
        "assert 'jax' not in sys.modules and 'numpy' not in sys.modules, 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_scripts(capsys):
    for shell in ("bash", "zsh"):
        assert main(["completion", shell]) == 0
        assert "genkit completion --words" in capsys.readouterr().out
    for words in ([], ["fish"], ["bash", "zsh"]):
        assert main(["completion", *words]) == 2
        assert "expected the shell, bash or zsh" in capsys.readouterr().err


def ask(tmp_path, shell, script):
    """Let a shell complete, with a `genkit` that is this one."""
    tool = tmp_path / "genkit"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m _genkit_jax "$@"\n')
    tool.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash(tmp_path):
    script = (
        'eval "$(genkit completion bash)"\ncd "$HOME"\n'
        'COMP_WORDS=(genkit run ""); COMP_CWORD=2; _genkit; printf "%s\\n" "${COMPREPLY[@]}"\n'
        'COMP_WORDS=(genkit do); COMP_CWORD=1; _genkit; printf "%s\\n" "${COMPREPLY[@]}"\n'
        'COMP_WORDS=(genkit sample "*"); COMP_CWORD=2; _genkit; echo "${#COMPREPLY[@]}"'
    )
    found = ask(tmp_path, "bash", script)
    assert "core.mixture" in found and found[-2:] == ["doctor", "0"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh(tmp_path):
    script = (
        "compdef() { :; }; compadd() { print -l -- ${(P)2}; }; _files() { print files; }\n"
        'eval "$(genkit completion zsh)"\n'
        'words=(genkit run ""); CURRENT=3; _genkit\nwords=(genkit do); CURRENT=2; _genkit\n'
        "words=(genkit sample x); CURRENT=3; _genkit"
    )
    found = ask(tmp_path, "zsh", script)
    assert "core.mixture" in found and found[-2:] == ["doctor", "files"]
