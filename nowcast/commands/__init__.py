"""One file per command: a Hydra main, typed calls, printed paths. Nothing imports it."""
