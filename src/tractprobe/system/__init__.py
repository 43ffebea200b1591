"""Files, processes and errors; nothing here knows about speech."""
