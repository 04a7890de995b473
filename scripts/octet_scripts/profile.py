"""Runs one timing case once, inside a profiler range, under Nsight Compute where it is installed.

scripts/bench --profile CASE has set up and built. Exit status: the profiler's or the case's; 2 where
no test program has the case.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path


def program_of(case, folder):
    """The test program that lists the case."""
    for program in sorted(folder.glob("*_test")):
        listed = subprocess.run(
            [program, f"--gtest_filter={case}", "--gtest_list_tests"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if any(line.startswith("  ") for line in listed.stdout.splitlines()):
            return program
    return None


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="octet_scripts.profile", description=__doc__)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--case", required=True)
    options = parser.parse_args(arguments)
    program = program_of(options.case, options.folder)
    if program is None:
        print(f"scripts/bench: no test program has the case '{options.case}'", file=sys.stderr)
        return 2
    command = [str(program), f"--gtest_filter={options.case}"]
    profiler = shutil.which("ncu")
    if profiler:
        # The clocks stay as they are: figures compare with those of the timing cases.
        command = [profiler, "--profile-from-start", "off", "--clock-control", "none",
                   "--set", "full", "--import-source", "yes", *command]  # fmt: skip
    else:
        print("scripts/bench: ncu is not on the PATH: run it around this yourself:", file=sys.stderr)
    print("OCTET_PROFILE=1 " + " ".join(command), file=sys.stderr)
    environment = dict(os.environ, OCTET_PROFILE="1")
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
