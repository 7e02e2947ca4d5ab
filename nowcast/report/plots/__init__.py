"""Maps, animations, curves and their colours."""
