"""What is typed: its quotes, its overrides, and what can be refused before anything heavy is imported."""
