"""Time of all figures and the report, for 60 layers, 100 checkpoints and 8 seeds, on one core.

Usage: python benchmarks/figures.py [--quick]

The figures are written as PNG, as ``infoplane plot --report`` does. Nothing may import pyplot, and
the report has to stay below 2 MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from infoplane.errors import NotFoundError
from infoplane.plots.canvas.picture import save
from infoplane.plots.figures import FIGURES, draw_once
from infoplane.plots.report.page import render_report
from infoplane.plots.view import View
from tests.plots import synthetic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 layers, 20 checkpoints, 5 seeds")
    n_layers, n_steps, n_seeds = (5, 20, 5) if parser.parse_args().quick else (60, 100, 8)
    names = [f"backbone.layer{i // 15}.{i % 15}.conv" for i in range(n_layers)]
    document = synthetic.sampled(synthetic.results(names=names, n_steps=n_steps, n_seeds=n_seeds))
    start = mark = time.process_time()
    view = View.of(document)
    baseline = View.of(document)
    with tempfile.TemporaryDirectory() as folder:
        for name in FIGURES:
            try:
                more = {"baseline": baseline} if name == "compare" else {}
                save(draw_once(view, name, **more), Path(folder) / f"{name}.png")
            except NotFoundError as error:
                print(f"{name:<12} not drawn: {error}")
                continue
            print(f"{name:<12} {time.process_time() - mark:5.2f} s")
            mark = time.process_time()
    page = render_report(view, baseline=baseline)
    print(f"{'report':<12} {time.process_time() - mark:5.2f} s, {len(page) / 1e6:.2f} MB")
    print(f"{'all':<12} {time.process_time() - start:5.2f} s CPU")
    print("pyplot imported" if "matplotlib.pyplot" in sys.modules else "pyplot not imported")


if __name__ == "__main__":
    main()
