"""The search for good settings: what `nowcast tune` is made of, on Optuna."""
