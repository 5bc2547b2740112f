"""Streamlit screens and the webhook receiver. No SQL, no logic; work is started by deployment name."""
