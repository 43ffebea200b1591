"""What heads learn from and are tested on, in batches."""
