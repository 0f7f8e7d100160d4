"""The name by which loops have imported `KerasRecorder` since 0.1."""

from infoplane.recording.loops.keras import KerasRecorder

__all__ = ["KerasRecorder"]
