"""`python -m bench`: our figures beside their baselines, measured in one run on one private installation each.

A benchmark is a file with `run(scale) -> list[Figure]`; `__main__.py` lists them. Nothing of it is a timed test: a figure
that falls short is shown as that, and `docs/figures.md` says what we know about it.
"""
