"""The name by which loops have imported `HuggingFaceRecorder` since 0.1."""

from infoplane.recording.loops.huggingface import HuggingFaceRecorder

__all__ = ["HuggingFaceRecorder"]
