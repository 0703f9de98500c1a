"""Signals from providers on the internet: who is asked, when, through which door, and what is kept."""
