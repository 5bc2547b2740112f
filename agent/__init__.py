"""What runs beside untrusted text: the edit and verify entries, their tools, the model gateway and what starts them.

Standard library only, and nothing of ours: the job folder and the schemas in `schema/` are the only bridge. A job
folder holds job.json and source.tar.gz (for verify also *.patch) and gets report.json, change.patch, events.jsonl
and log.txt.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_BAD_JOB = 20
EXIT_TOOL_MISSING = 21
EXIT_PLACE = 22
"""Not the job: its files, its gateway or the way back for its results were out of reach."""
EXIT_DEADLINE = 124
EXIT_INTERRUPTED = 143
