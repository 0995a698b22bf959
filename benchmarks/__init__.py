"""Speed claims of the project, each a ratio to a named peer measured in the same run: `python -m benchmarks`."""
