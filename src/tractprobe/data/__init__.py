"""What is learned from and tested on: splits, targets, speakers' scales, batches."""
