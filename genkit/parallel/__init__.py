"""Device meshes, sharding rules and several hosts."""

from genkit.parallel.hosts import agree, barrier, broadcast_int, broadcast_text, initialise, is_alone, is_main
from genkit.parallel.keys import named_key
from genkit.parallel.mesh import (
    all_devices,
    in_chunks,
    make_mesh,
    mesh_for,
    replicate,
    rows_are_split,
    shard_batch,
    split,
    split_rows,
    whole_rows,
)
from genkit.parallel.rules import Rule, fsdp, path_name, shardings

__all__ = [
    "Rule",
    "agree",
    "all_devices",
    "barrier",
    "broadcast_int",
    "broadcast_text",
    "fsdp",
    "in_chunks",
    "initialise",
    "is_alone",
    "is_main",
    "make_mesh",
    "mesh_for",
    "named_key",
    "path_name",
    "replicate",
    "rows_are_split",
    "shard_batch",
    "shardings",
    "split",
    "split_rows",
    "whole_rows",
]
