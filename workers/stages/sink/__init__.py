"""The sink: writes aligned pairs as shards, each committed by exactly one manifest."""

from kaption.workers.stages.sink.stage import SinkStage

__all__ = ["SinkStage"]
