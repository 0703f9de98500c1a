"""Forecasts on what has been: every model, every horizon, issued with what was known then."""
