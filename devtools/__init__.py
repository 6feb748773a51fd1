"""What a developer's machine needs around Laneway: embedded servers, the demo, a process keeper.

Nothing in `app`, `tasks` or `routing` imports this package; it is never deployed.
"""
