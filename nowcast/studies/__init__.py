"""Many runs: searches, sweeps, benchmarks."""
