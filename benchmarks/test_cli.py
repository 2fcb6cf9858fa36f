"""How long the command line takes to answer when it has nothing to compute."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", ["--help", "list", "plugins"])
def test_cli_start(benchmark, words):
    """Wall time of a new process."""
    command = [sys.executable, "-m", "_genkit_jax", words]
    benchmark.pedantic(subprocess.run, (command,), {"check": True, "capture_output": True}, rounds=5, warmup_rounds=1)
