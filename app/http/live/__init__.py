"""Streams of events (server-sent events, WHATWG HTML 9.2): who watches, what changed, what is sent.

One thread a web process with an asyncio loop holds all streams, so none costs a thread of the web. docs/adr/0016.
"""
