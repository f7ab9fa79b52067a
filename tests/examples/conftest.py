"""Makes the example's modules importable as its scripts import each other: by their bare names."""

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "emotion"

sys.path.append(str(EXAMPLE))
