"""Protocols between the engine and its adapters. No implementation lives here."""
