"""`python -m benchmarks [NAME ...]`: run the usual bench_*.py modules, or those named; exit 1 on failure or miss."""

from __future__ import annotations

import sys

from benchmarks.harness import main

sys.exit(main(sys.argv[1:]))
