"""Work on many items in processes."""

import subprocess
import sys

import pytest

from genkit.workers import each


def test_a_script_without_a_guard_may_use_processes(tmp_path):
    """Processes that read the script again would begin it again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import math\nfrom genkit.workers import each\nprint(each(math.sqrt, [4.0, 9.0], share=1, workers=2))"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.returncode) == ("[2.0, 3.0]\n", 0), done.stderr


def test_order_progress_and_lengths():
    told = []
    assert each(pow, [2, 3], [3, 2], share=10, progress=told.append) == [8, 9] and told == [1, 2]
    with pytest.raises(ValueError, match="shorter"):
        each(pow, [2, 3], [3], share=10)
