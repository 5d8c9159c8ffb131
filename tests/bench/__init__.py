"""Benchmarks: `python -m tests.bench`, `python -m tests.bench.fleet N`."""
