"""What is compiled, looked at without compiling: which programs are called, what they cost, where they can run.

with watch() as seen:
    model.draw(key, 1)
flops(seen.calls[0].jaxpr), seen.calls[0].lower("cuda")
"""

from genkit.programs.flops import Flops as Flops
from genkit.programs.flops import flops as flops
from genkit.programs.watch import Program as Program
from genkit.programs.watch import Training as Training
from genkit.programs.watch import Watch as Watch
from genkit.programs.watch import inherit as inherit
from genkit.programs.watch import watch as watch
from genkit.programs.watch import watched as watched
