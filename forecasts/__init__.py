"""Signals on a UTC index: base load, PV, prices, and the back-test that says what a forecast is worth.

Compute is sync and pure: history, slots and the moment of issue come in, series and their provenance go out. Only
`forecasts.sources` talks to anybody, through a client that it is given.
"""
