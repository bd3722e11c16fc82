"""The small S3."""
