"""How a worker goes through a chunk of items, whatever their kind: leases, turns of keys, attempts, records, endings."""
