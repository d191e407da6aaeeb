"""Fitted networks in other forms: what leaves Python."""
