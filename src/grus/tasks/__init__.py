"""Whole jobs: a configuration, a run folder, and what is done with them."""
