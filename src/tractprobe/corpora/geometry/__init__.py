"""Where the speaker's head is, and where its axes point."""
