"""Prefect tasks: open resources, wait (retries, limits, time-outs), batch, report. No logic, no SQL."""
