"""The name by which loops have imported `LightningRecorder` since 0.1."""

from infoplane.recording.loops.lightning import LightningRecorder

__all__ = ["LightningRecorder"]
