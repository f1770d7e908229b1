"""Servers on loopback that behave as real ones do, faults included."""
