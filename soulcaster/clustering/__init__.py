"""Grouping: arrays in, arrays out; knows no store."""
