"""From photos to LAB shards to batches."""
