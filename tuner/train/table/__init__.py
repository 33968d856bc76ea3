"""People's own tables: a file of rows read, split, prepared and learned without code."""
