"""Files, processes and errors; nothing here knows of speech."""
