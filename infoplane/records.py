"""The former home of `Estimate`, from which plug-ins written for 0.1 import it."""

from infoplane.estimators.estimate import Estimate

__all__ = ["Estimate"]
