"""Carry facts (topics), wishes (control) and pixels (rings) across process borders."""
