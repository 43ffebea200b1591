"""Where the head is and where its axes point."""
