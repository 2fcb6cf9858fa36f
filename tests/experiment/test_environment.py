"""What is told to jax before a run."""

import os
import subprocess
import sys

CODE = """
from genkit.experiment import set_up
set_up()
import jax
print(jax.config.values["jax_compilation_cache_dir"])
print(jax.config.values["jax_persistent_cache_min_compile_time_secs"])
"""


def told(tmp_path, **variables):
    """Where compiled programs are kept, and from how many seconds of compilation on."""
    others = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMPILATION", "JAX_PERSISTENT"))}
    env = others | {"XDG_CACHE_HOME": str(tmp_path)} | variables
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    folder, seconds = run.stdout.split()
    return folder, float(seconds)


def test_programs_are_kept_unless_the_user_says_else(tmp_path):
    assert told(tmp_path) == (str(tmp_path / "genkit" / "jax"), 0.1)
    assert told(tmp_path, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="2.5")[1] == 2.5
    folder, seconds = told(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert folder == str(tmp_path / "own") and seconds == 1.0  # jax's
    assert told(tmp_path, GENKIT_COMPILE_CACHE="0")[0] == "None"
