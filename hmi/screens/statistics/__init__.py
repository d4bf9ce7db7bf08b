"""Show what a shift made: shares with their intervals, causes in order, people, escapes, parallel mode."""
