#!/bin/bash
# What a GPU does with the programs of genkit: a table in Markdown, to the standard output.
#
#     bash benchmarks/gpu.sh            # on a machine with a GPU
#     bash benchmarks/gpu.sh --smoke    # small shapes on any machine: does it work?
#
# Nothing needs to be installed but jax, flax, optax, diffrax and scipy: the packages are read from the checkout. Parts
# whose packages are missing are left out; after seven minutes nothing begins any more.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH="$PWD$(printf ':%s' "$PWD"/plugins/*)${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" -m benchmarks.gpu "$@"
