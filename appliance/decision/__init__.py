"""Decide: pure functions and small state machines between scores and the gate; no clock, socket or file."""
