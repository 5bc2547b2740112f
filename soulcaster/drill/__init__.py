"""Poisoned feedback sent through the real pipeline of fixes, on a repository of its own, to see which layer stops it.

The model is taken to obey the attacker in full: the tool `scripted` does whatever the poison wants. Nothing leaves the
machine: the repository is a loopback one, every job is a dry run, secrets are canaries.
"""
