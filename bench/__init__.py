"""Measures the server against the least that a server of its kind can do, in one run, as ratios. Never a timed test."""
