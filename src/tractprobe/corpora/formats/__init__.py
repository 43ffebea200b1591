"""File formats, read within bounds and without executing anything."""
