"""All error and warning codes in one table, from which ``docs/errors.md`` is generated.

The message of an error says what was found and where; the table says what its code means and what
to do. ``python -m infoplane.error_codes > docs/errors.md`` writes the page again.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from infoplane.estimators.flags import FLAGS


class Entry(NamedTuple):
    """A code of the catalogue."""

    code: str
    what: str
    where: str
    hint: str


SECTIONS = {
    "1": ("Usage and configuration", "exit 2"),
    "2": ("Estimates", "a warning; as an error exit 3, IP220 exit 5"),
    "3": ("Data and files", "exit 3"),
    "4": ("Selection", "exit 4"),
    "5": ("Rules", "exit 2"),
    "9": ("Bugs", "exit 70"),
}
"""Title and exit code by the first digit."""

_ERRORS = tuple(
    Entry(*line)
    for line in (
        ("IP100", "an error without a code of its own", "any command",
         "read the message; `infoplane COMMAND -h` shows the options"),
        ("IP101", "an argument or option has the wrong shape, type, range or name",
         "options, arguments of functions", "`infoplane COMMAND -h`"),
        ("IP102", "an unknown key in the configuration", "infoplane.toml",
         "correct the key; `infoplane config check`"),
        ("IP103", "an unknown estimator or parameter", "analyze -e, [estimator.NAME]",
         "`infoplane estimators`, `infoplane estimators NAME`"),
        ("IP104", "an invalid value for a parameter of an estimator",
         "analyze -e, [estimator.NAME]", "`infoplane estimators NAME`"),
        ("IP105", "the configuration cannot be read, or is not TOML", "infoplane.toml, -c",
         "correct the line; `infoplane config check -c FILE`, or go without: `--no-config`"),
        ("IP106", "a configuration value of the wrong type", "infoplane.toml",
         "`infoplane COMMAND -h`; `infoplane config check`"),
        ("IP107", "required-version asks for another version", "infoplane.toml",
         "use a matching release of infoplane, or change required-version"),
        ("IP108", "an environment variable that looks like an option but is not one",
         "INFOPLANE_COMMAND_OPTION", "`infoplane config show --origin COMMAND`"),
        ("IP109", "an executor that is not available", "analyze --executor",
         "`python3 -m pip install 'dask[distributed]'` or `mpi4py`; or `-j 2` alone"),
        ("IP110", "a package that an export needs is not installed", "export --to",
         "`python3 -m pip install pyarrow` or `tensorboard`"),
        ("IP111", "a GPU that is not available", "analyze --device, record --device",
         "`--device cpu`, or a build of torch for the GPU"),
        ("IP112", "a plug-in that cannot be used", "analyze -e, estimators",
         "correct or uninstall it; see [your own estimator](plugins.md)"),
        ("IP113", "a configuration of another user, or code named in one",
         "infoplane.toml that is found in the folders above, -c",
         "`--no-config`, `-c FILE`, or `INFOPLANE_TRUST=FOLDER`"),
        ("IP210", "the quantity is undefined for this data", "analyze",
         "record more samples or classes; see the message"),
        ("IP220", "a worker process died", "analyze, validate",
         "run the same command again: finished cells are kept; fewer processes with `-j 1`"),
        ("IP301", "a file is damaged or cannot be read", "runs, results",
         "restore the file, or make it again"),
        ("IP302", "the output exists already, or is of another kind",
         "-o of any command", "choose another name with `-o`, or use `--overwrite`"),
        ("IP303", "a file is missing or is not what it should be", "any input",
         "the message says how to make such a file"),
        ("IP304", "a file of another format or a newer version", "runs, results",
         "use the release of infoplane that wrote it, or a newer one; or make the file again"),
        ("IP305", "a file cannot be written", "any output",
         "check the folder, its permissions and the disk"),
        ("IP306", "another process is writing this run", "record", "wait, or choose another `-o`"),
        ("IP307", "recorded data does not match its checksum", "runs",
         "record the run again; restore it from a copy"),
        ("IP308", "the run would be larger than allowed, or than the free disk space", "record",
         "fewer `--samples` or `--layers`, or `--reduce 'GLOB=sketch:256'`"),
        ("IP309", "no more memory, open files or processes", "any command",
         "free memory, or raise the limits that `ulimit -a` shows; fewer processes with `-j 1`"),
        ("IP310", "the content of a file cannot be used", "runs, checkpoints, probe sets",
         "see the message"),
        ("IP311", "refused: reading this file would run code that it contains", "checkpoints",
         "`torch.save(model.state_dict(), FILE)`"),
        ("IP312", "a checkpoint does not fit the model", "record",
         "`--model` must build the model that was trained"),
        ("IP313", "the step of a checkpoint is unclear", "record",
         "`--step-pattern 'epoch_([0-9]+)'`"),
        ("IP314", "a probe set without inputs or labels", "record --data",
         "`numpy.savez('probe.npz', inputs=x, labels=y)`"),
        ("IP315", "a results document that does not follow its schema", "results",
         "analyze the runs again, or restore the file"),
        ("IP316", "no samples are left that are finite everywhere", "analyze --nan drop",
         "leave layers or steps out: `--layers`, `--steps`"),
        ("IP317", "results files that cannot be combined", "check, compare, plot, merge",
         "give each run once, analyzed with the same settings"),
        ("IP318", "results made with different settings", "compare, analyze",
         "`analyze --settings-from A`, or `infoplane compare --allow-mismatch A B`"),
        ("IP319", "runs of other samples, or of the same in another order", "similarity",
         "record them on one probe set: `--data probe.npz`"),
        ("IP401", "no layer, run or row has that name", "selection",
         "the message lists the names"),
        ("IP402", "no such step, or no complete step", "analyze", "the message lists the steps"),
        ("IP403", "no checkpoint file matches", "record --checkpoints",
         "quote the pattern: `--checkpoints 'epoch_*.pt'`"),
        ("IP404", "the results hold nothing to draw or check", "plot, check, compare",
         "analyze again; some cells must have a number"),
        ("IP405", "no rule to check", "check",
         "`infoplane check results.json --require 'last(ity) >= 0.9'`, or [[check]]"),
        ("IP406", "there is no configuration file", "config check",
         "`infoplane config check -c FILE`"),
        ("IP501", "a rule that does not follow the grammar", "--require, [[check]]",
         "write a rule like `last(ity, fc5) >= 2.8`; see [rules](ci.md#rules)"),
        ("IP502", "an unknown statistic in a rule", "--require, [[check]]",
         "see [rules](ci.md#rules)"),
        ("IP503", "an unknown quantity, flag or verdict in a rule",
         "--require, --fail-on, [[check]]", "see [rules](ci.md#rules)"),
        ("IP900", "a bug in infoplane", "any command",
         "run again with `-vv` for the traceback, and report it"),
    )
)  # fmt: skip


_FLAGS = tuple(
    Entry(flag.code, flag.meaning, "results", flag.remedy) for flag in FLAGS.values() if flag.code
)

CATALOGUE = tuple(sorted((*_ERRORS, *_FLAGS)))


def page() -> str:
    """Return the documentation page of all codes."""
    lines = [
        "# Error codes",
        "",
        "Every error is one line, `error[CODE]: what was found and where`, followed by a hint.",
        "Results contain warnings about estimates, with the same kind of code. They come from",
        "[flags](flags.md). This page is generated from the table in `infoplane/error_codes.py`.",
    ]
    for digit, (title, exit_code) in SECTIONS.items():
        lines += ["", f"## {title} ({exit_code})", "", "| code | what | where | what to do |"]
        lines.append("| --- | --- | --- | --- |")
        for entry in CATALOGUE:
            if entry.code[2] == digit:
                cells = (entry.code, entry.what, entry.where, entry.hint)
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
