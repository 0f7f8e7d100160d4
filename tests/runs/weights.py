"""Write weights into runs by hand, as the run format has them."""

import json

import numpy as np

from infoplane.runs.checksum import crc32
from infoplane.runs.run import Run
from infoplane.runs.step_info import padded_json
from infoplane.runs.writer import FolderWriter


def with_weights(run, path, weights_at, **members):
    """Return a copy of a run whose steps hold the weights that ``weights_at`` gives for a step."""
    writer = FolderWriter(path, run.probe, run.manifest)
    for step in run.steps:
        found, entries = dict(run.datasets(step)), []
        meta = json.loads(bytes(found.pop("meta")))
        meta.pop("meta_crc32", None)
        for index, (name, array) in enumerate(weights_at(step).items()):
            found[f"weights/W{index:04d}"] = array
            entries.append(
                {
                    "name": name, "module_type": "Linear", "shape": list(array.shape),
                    "dtype": str(array.dtype), "reduction": "none", "noise": None,
                    "crc32": crc32(np.ascontiguousarray(array).data),
                    "n_nonfinite": int((~np.isfinite(array)).sum()), **members,
                }
            )  # fmt: skip
        meta["weights"] = entries
        text = np.frombuffer(padded_json(meta), dtype=np.uint8)
        writer.copy(step, {**found, "meta": text})
    writer.close()
    return Run(path)
