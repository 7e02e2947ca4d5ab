"""Forecasts + observations → sums → scores with intervals."""
