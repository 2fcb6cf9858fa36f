"""Memory that is freed is kept, or given back."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")


@pytest.fixture
def alone():
    """alone(code, **variables): the number it prints, in a process whose allocator is told nothing else."""
    told = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES" and not k.startswith("MALLOC_")}

    def number(code, **variables):
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=told | variables)
        return int(run.stdout)

    return number


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
