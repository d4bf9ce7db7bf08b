"""Show the line at work: the part, what was decided and why; in parallel mode take the person's decision."""
