"""Archives → windows of input and target frames → batches."""
