"""Faults on real processes: everything here ends what it starts, and judges by records that outlive the fault."""
