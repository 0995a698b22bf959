"""`python -m benchmarks [NAME ...]`: run all bench_*.py modules, or those named; exit 1 when one failed or missed."""

from __future__ import annotations

import sys

from benchmarks.harness import main

sys.exit(main(sys.argv[1:]))
