"""The stages of the pipeline: a file or a folder each, and what they share."""
