"""Keep the list of people."""
