"""Find the packages: `cli/` and `sample_runs/` are installed as sub-packages of infoplane."""

from setuptools import find_packages, setup

OUTSIDE = find_packages(include=["cli", "cli.*", "sample_runs", "sample_runs.*"])
setup(
    packages=[
        *find_packages(include=["infoplane", "infoplane.*"]),
        *(f"infoplane.{name}" for name in OUTSIDE),
    ]
)
