"""Celery's side: thin tasks that lease, call the domain and complete; the dispatcher and the bootsteps."""
