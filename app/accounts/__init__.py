"""Tenants and people: who may sign in, for which client, in which role; and the provider keys a client brought.

Signing in starts without a tenant, so it goes through the database's `auth_user` function. What only the
installation's operator may do (the command line) runs on the owner's connection.
"""
