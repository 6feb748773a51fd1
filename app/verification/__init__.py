"""Verification: what is known about an e-mail address, from our own checks and from providers."""
