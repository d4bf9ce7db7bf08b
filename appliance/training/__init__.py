"""Fit models from images; batch work, no part of the running line."""
