"""What is compiled, looked at without compiling: which programs are called, what they cost, where they can run.

with watch() as seen:
    model.draw(key, 1)
flops(seen.calls[0].jaxpr), seen.calls[0].lower("cuda")
"""

from genkit.programs.flops import Flops, flops
from genkit.programs.watch import Program, Training, Watch, inherit, watch, watched

__all__ = ["Flops", "Program", "Training", "Watch", "flops", "inherit", "watch", "watched"]
