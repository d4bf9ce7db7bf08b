"""Maintenance: check, cameras, inputs and outputs, services."""
