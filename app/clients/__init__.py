"""Dedicated clients: their lanes, their keys, what they get, and whether it works.

Rules over the functions of schema 0005 and 0008. Every function takes a connection that the caller commits, or a way to open
transactions where somebody else is called in between; both the web's role and the owner may call them. Who acts is said first (`actor.acting_as`), so that the audit can tell.
"""
