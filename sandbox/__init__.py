"""Simulators of the providers, in a process of their own, for the demo and the tests.

It stands alone: nothing of the product is imported here, so that a mistake in a client cannot hide in a
simulator that shares it. A provider is one file (`mailtester.py`) with a class that names its routes;
`server.py` lists them. The `/sandbox/…` routes are the remote control of demo and tests: no real
provider has them, and the process must never be reachable from outside.
"""
