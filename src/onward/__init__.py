"""Onward: a self-hosted, OpenAI-compatible server for stateful AI."""

__version__ = "0.1.0"
