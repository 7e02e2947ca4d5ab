"""One run from config to best.ckpt."""
