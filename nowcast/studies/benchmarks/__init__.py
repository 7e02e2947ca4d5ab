"""What `nowcast benchmark` measures with."""
