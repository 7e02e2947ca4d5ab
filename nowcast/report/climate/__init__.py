"""How often it rains in archives, and in what training draws of them → tables, CSV."""
