"""Change one byte of a published model: the case that the trusted store must refuse.

    python examples/emotion/tamper.py STORE/emotion-demo/1.3.0

The byte lies in the middle of the weights, so the file keeps its size and still loads: only the
digests and the signature can tell. Nothing else in the folder is touched.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def tamper(folder: Path) -> str:
    """Flip one bit of the first weights file in `folder`.

    Returns:
        What was changed, in words.

    Raises:
        FileNotFoundError: The folder holds no weights.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"{folder}: no *.safetensors file; expected a published model")
    target = weights[0]
    # In place, because a store may hold the file under a name that others link to; a few bytes
    # before the end are certainly weights, never the header.
    mode = target.stat().st_mode
    target.chmod(mode | 0o200)
    with target.open("r+b") as file:
        offset = (target.stat().st_size * 3) // 4
        file.seek(offset)
        before = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([before ^ 0x01]))
    target.chmod(mode)
    return f"{target.name}: byte {offset} was 0x{before:02x}, is now 0x{before ^ 0x01:02x}"


def main(argv: Sequence[str] | None = None) -> int:
    """Tamper with the folder named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a published version in the store")
    arguments = parser.parse_args(argv)
    try:
        print(tamper(arguments.folder))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
