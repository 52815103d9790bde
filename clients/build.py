"""Makes what the hub serves of `clients/js`, the npm package: scripts without comments and long names.

`python -m clients.build` writes the files; a test fails while one of them is older than its source.
"""

from pathlib import Path

from calmjs.parse import es5
from calmjs.parse.unparsers.es5 import minify_print

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "clients" / "js"
SERVED = ROOT / "delivery" / "static" / "notifyhub"
BUILT = ("notifyhub.js", "notifyhub-inbox.js", "notifyhub-inbox.css", "notifyhub-sw.js")


def output(name: str) -> str:
    """Return what is served for a source; raises `ECMASyntaxError` for a script that is not ES5."""
    source = (SOURCES / name).read_text()
    if not name.endswith(".js"):
        return source
    script = minify_print(es5(source), obfuscate=True)
    return f"/* notifyhub: {name}. Its source and licence: the npm package notifyhub. */\n{script}\n"


def main() -> None:
    """Write every served file."""
    for name in BUILT:
        (SERVED / name).write_text(output(name))


if __name__ == "__main__":
    main()
