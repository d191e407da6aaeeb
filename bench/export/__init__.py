"""Sizes and times of networks that leave Python."""
