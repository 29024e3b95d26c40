"""Kernels of networks and complexities of targets: to files, from files, along a run."""
