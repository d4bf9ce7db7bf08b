"""Show control charts of the line by hour and by shift, with limits from a stated baseline."""
