"""Prepare data sets ahead of time: ``python -m simnb.data cifar10 --data-dir FOLDER``."""

import argparse
import sys

from simnb.data import tfds

NOTHING_TO_PREPARE = {
    "digits": "bundled with scikit-learn",
    "glyphs": "drawn with fonts that come with matplotlib",
}


def main(arguments: list[str] | None = None) -> int:
    """Download and prepare data sets; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m simnb.data",
        description="Download and prepare data sets, so that simnb.data.load finds them.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="TFDS names (default: cifar10)")
    parser.add_argument("--data-dir", help="folder of TFDS (default: TFDS_DATA_DIR, else TFDS's own)")
    options = parser.parse_args(arguments)
    failures = 0
    for name in options.names or ["cifar10"]:
        if name in NOTHING_TO_PREPARE:
            print(f"{name}: {NOTHING_TO_PREPARE[name]}, nothing to prepare")
            continue
        try:
            builder = tfds.prepare(name, options.data_dir)
        except Exception as error:
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"{name}: not prepared: {first_line}", file=sys.stderr)
            failures += 1
        else:
            print(f"{name}: prepared in {builder.data_path}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
