"""The bundled sample: feedback about one invented product in the shape of the four sources, and its true clusters.

Owns data files only (README.md beside this file); `soulcaster.ingest.import_sample` reads them with the real parsers.
"""
