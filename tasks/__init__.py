"""Prefect tasks: open resources, wait (retries, limits, time-outs), batch, report. No logic, no SQL.

A task imports its step when it runs: `prefect deploy` and every flow process import all tasks of a flow, and the
libraries behind the steps (vector index, clustering) cost seconds.
"""
