"""How much rain and how many gaps tiles and windows hold, without their frames being read again."""
