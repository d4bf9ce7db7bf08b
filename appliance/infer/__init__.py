"""Look at pictures with a bundle, away from the line: findings as JSON, and drawn on the pictures."""
