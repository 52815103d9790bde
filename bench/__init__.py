"""Benchmarks: what the hub does beside the best known way to do the same, measured in one run on one machine."""
