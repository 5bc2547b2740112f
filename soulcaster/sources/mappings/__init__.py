"""Mappings that come with the product: one YAML file a service, beside it a written sample of what it sends."""
