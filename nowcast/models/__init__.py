"""Forecast models: recurrent networks and the baselines that they must beat."""
