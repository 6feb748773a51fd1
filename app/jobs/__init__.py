"""The ledger: jobs, the chunks they are cut into, and what may happen to them.

PostgreSQL owns the work. A function here takes a connection that is inside the right scope (`app.db.scope`) and plain
values; the caller commits, and publishes after the commit.
"""
