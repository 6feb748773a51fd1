"""Laneway: background work for many clients, each on a lane of its own."""

__version__ = "0.1.0"
