"""What is learned from and tested on, in batches."""
