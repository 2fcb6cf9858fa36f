"""Programs that are hardly run are compiled in haste, and no others."""

import os
import subprocess
import sys

import pytest

from genkit.cli import main
from genkit.haste import FLAGS

CODE = """
from genkit.haste import hasten
{first}
hasten(); hasten()
import jax, os
print(int(jax.config.read("jax_disable_most_optimizations")), os.environ.get("XLA_FLAGS", ""))
assert jax.numpy.arange(3).sum() == 3 and jax.device_count() == {devices}
"""


def told(first="", devices=1, **variables):
    """What jax is told, in a process of its own."""
    others = {k: v for k, v in os.environ.items() if k not in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS")}
    code = CODE.format(first=first, devices=devices)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=others | variables)
    assert run.returncode == 0 and "Unknown flag" not in run.stderr, run.stderr  # an unknown flag ends the process
    haste, _, flags = run.stdout.strip().partition(" ")
    return haste, flags.split()


def test_jax_is_told_before_its_import_and_after_it():
    haste, flags = told()
    assert haste == "1" and flags in ([], FLAGS.split())  # once, however often it is called
    assert told("import jax") == (haste, flags)


def test_the_user_has_the_last_word():
    for off in ("0", "false"):
        assert told(JAX_DISABLE_MOST_OPTIMIZATIONS=off) == ("0", [])
    devices = "--xla_force_host_platform_device_count=2"
    assert devices in told(devices=2, XLA_FLAGS=devices)[1]


@pytest.mark.parametrize(("words", "hasty"), [("--preset tiny", True), ("", False), ("--preset paper", False)])
def test_a_run_of_the_preset_tiny_is_hasty(words, hasty, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("genkit.cli.run.hasten", lambda: calls.append(True))
    monkeypatch.setattr("genkit.experiment.run", lambda *_, **__: calls.append("run"))
    assert main(["run", "core.mixture", *words.split(), "--out", str(tmp_path / "run")]) == 0
    assert calls == [True, "run"][not hasty :]
