"""The start of the command: another distribution of the same name, and what importing must not load."""

import os
import platform
import subprocess
import sys

import pytest

import _genkit_jax


def other_genkit(folder):
    info = folder / "genkit-2.3.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: genkit\nVersion: 2.3.4\n")


def test_refuses_beside_a_distribution_of_the_same_name(tmp_path, monkeypatch, capsys):
    other_genkit(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert _genkit_jax.main() == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "'genkit' 2.3.4" in err and "uninstall" in err


@pytest.mark.parametrize("first", [True, False])
def test_the_refusal_does_not_depend_on_the_order_of_installation(tmp_path, first):
    other_genkit(tmp_path)
    package = tmp_path / "genkit"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the other project')\n")
    order = f"sys.path.{'insert(0, ' if first else 'append('}{str(tmp_path)!r})"
    code = f"import sys; {order}; import _genkit_jax; sys.exit(_genkit_jax.main())"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("genkit: the distribution 'genkit' 2.3.4") and done.stderr.count("\n") == 1


def test_alone_it_does_not_refuse():
    assert _genkit_jax.clash() is None


@pytest.fixture
def alone():
    """alone(code, **variables): the number it prints, in a process whose allocator is told nothing else."""
    told = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES" and not k.startswith("MALLOC_")}

    def number(code, **variables):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=told | variables)
        return int(run.stdout)

    return number


gnu = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")


@gnu
def test_memory_is_kept_from_one_call_to_the_next(alone):
    code = (
        "import resource, threading\n"
        "from genkit import memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    thread = threading.Thread(target=lambda: b'x' * 2**26)\n"
        "    thread.start(), thread.join()\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(), print(faults())\n"
    )
    keeps = code.replace("def", "memory.keep()\ndef", 1)
    assert alone(keeps) < 100 and alone(code) > 1000  # 64 MB are 16384 pages
    assert alone(keeps, MALLOC_TRIM_THRESHOLD_="131072") > 1000  # whoever sets the allocator has the last word


@gnu
def test_memory_below_what_is_in_use_is_given_back(alone):
    code = (
        "import os\n"
        "from genkit import memory\n"
        "memory.keep()\n"
        "many = [b'x' * 2**20 for _ in range(200)]\n"
        "above = b'x' * 2**20\n"
        "del many\n"
        "memory.release()\n"
        "print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))\n"
    )
    assert alone(code) < 100e6 and alone(code.replace("memory.release()", "")) > 200e6


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["plugins"]])
def test_light_commands_leave_jax_alone(arguments, tmp_path):
    code = (
        "import atexit, gc, sys, _genkit_jax\n"
        "atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr))\n"
        f"sys.argv = ['genkit', *{arguments!r}]\n"
        "try:\n    code = _genkit_jax.main()\n"
        "except SystemExit as stop:\n    code = stop.code\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'grain', 'scipy', 'matplotlib', 'xarray'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not code and not heavy, (code, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "genkit" in done.stdout or "core" in done.stdout
    assert int(done.stderr) > 0  # it ends without a search for garbage
