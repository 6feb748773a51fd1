"""The whole product in front of a real browser."""
