"""Read lines of text: find them, cut them out, treat them, and spell them by a pattern; no network is held here."""
