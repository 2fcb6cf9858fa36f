"""Device meshes, sharding rules and several hosts."""

from genkit.parallel.hosts import agree as agree
from genkit.parallel.hosts import barrier as barrier
from genkit.parallel.hosts import broadcast_int as broadcast_int
from genkit.parallel.hosts import broadcast_text as broadcast_text
from genkit.parallel.hosts import initialise as initialise
from genkit.parallel.hosts import is_main as is_main
from genkit.parallel.keys import named_key as named_key
from genkit.parallel.mesh import all_devices as all_devices
from genkit.parallel.mesh import in_chunks as in_chunks
from genkit.parallel.mesh import make_mesh as make_mesh
from genkit.parallel.mesh import replicate as replicate
from genkit.parallel.mesh import shard_batch as shard_batch
from genkit.parallel.mesh import split as split
from genkit.parallel.rules import Rule as Rule
from genkit.parallel.rules import fsdp as fsdp
from genkit.parallel.rules import shardings as shardings
