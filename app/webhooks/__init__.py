"""Webhooks: events of jobs on their way to the clients' receivers, signed as Standard Webhooks has it."""
