"""The trusted hand that touches GitHub: source out, patch in as one draft pull request, its state, comments.

Holds a short-lived token and never runs code of the repository: no checkout on disk, no hook, no filter, no submodule.
"""
