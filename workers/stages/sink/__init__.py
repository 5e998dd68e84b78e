"""The sink: aligned pairs into shards, each written by exactly one manifest."""

from kaption.workers.stages.sink.stage import SinkStage

__all__ = ["SinkStage"]
