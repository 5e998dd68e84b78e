"""How pairs get out: topics, shards, and what training makes of them."""

from consumers.topic_reader import Read, ReadError, TopicReader

__all__ = ["Read", "ReadError", "TopicReader"]
