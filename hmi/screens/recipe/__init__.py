"""Show what is in force and why, and change it."""
