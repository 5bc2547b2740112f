"""Data files of the local embedders; README.md tells where each comes from and under which licence."""
