"""`python -m tests.browser.pictures`: makes the pictures of `docs/how-to/` from what the browser tests took.

First `./test tests/browser/test_first_campaign.py tests/browser/test_stories.py tests/browser/test_recall.py`.
"""

import sys
from pathlib import Path

from PIL import Image

from tests.browser.album import FOLDER

DOCS = Path(__file__).parents[2] / "docs" / "pictures"
WIDTH, HEIGHT = 1_100, 1_000
MOST_BYTES = 80_000
PICTURES = {
    "compose": "composer-tv-laptop-light",
    "check": "preflight-of-an-approver-laptop-light",
    "canary": "story-canary-laptop-light",
    "run": "run-laptop-light",
    "repeat": "story-repeat-when-laptop-light",
    "repeat-void": "story-repeat-void-laptop-light",
    "repeat-run": "story-repeat-run-laptop-light",
    "mistake": "story-mistake-laptop-light",
    "recall": "run-recall-laptop-light",
    "experiment": "story-experiment-written-laptop-light",
    "experiment-variants": "story-experiment-variants-laptop-light",
    "experiment-no-evidence": "story-experiment-no-evidence-laptop-light",
    "experiment-report": "story-experiment-report-laptop-light",
}
"""Pictures by name, and the screenshots they are made from."""


def make(name: str, source: str) -> int:
    """Make a picture; return its bytes."""
    with Image.open(FOLDER / f"{source}.png") as taken:
        picture = taken.convert("RGB")
    if picture.width > WIDTH:  # a whole page, and no part of one
        picture = picture.crop((0, 0, picture.width, min(picture.height, picture.width * HEIGHT // WIDTH)))
        picture.thumbnail((WIDTH, HEIGHT))
    path = DOCS / f"{name}.webp"
    for quality in (80, 65, 50, 35, 20):
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            break
    return path.stat().st_size


def main() -> int:
    """Make all of them; return 1 when a screenshot is missing."""
    DOCS.mkdir(parents=True, exist_ok=True)
    missing = [source for source in PICTURES.values() if not (FOLDER / f"{source}.png").exists()]
    if missing:
        print(f"not taken yet: {', '.join(missing)}", file=sys.stderr)
        return 1
    for name, source in PICTURES.items():
        print(f"{name}: {make(name, source):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
