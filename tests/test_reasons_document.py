"""`docs/reference/reasons.md` says what the tables of reasons say.

`python -m tests.test_reasons_document` writes it anew.
"""

import re
from pathlib import Path

from campaigns import reasons as decisions
from delivery import reasons
from delivery.senders.apns import errors as apns
from delivery.senders.contract import Verdict
from delivery.senders.fcm import errors as fcm
from delivery.senders.webpush import errors as webpush

DOCUMENT = Path(__file__).parent.parent / "docs" / "reference" / "reasons.md"
LIMITS = {"limit": f"{decisions.RECIPIENTS_LIMIT:,}"}
TABLES = (
    (
        "Decisions",
        "What the engine made of an event and a rule (`decisions` of `why`, the event's page).",
        decisions.SENTENCES,
    ),
    ("Stopped", "Subscribers whom policy stopped: they have no entry in their log.", reasons.STOPPED),
    *(
        [
            (
                "Deferred",
                "Subscribers whom policy put off: they are planned again at an instant.",
                reasons.DEFERRED,
            )
        ]
        if hasattr(reasons, "DEFERRED")
        else []
    ),
    ("Outcomes", "Why a message came to its outcome.", reasons.OUTCOMES),
    (
        "Providers",
        "What a provider said of a message that failed, or what kept us from asking it. After a colon may stand the "
        "field it complains about, or a limit in bytes.",
        reasons.PROVIDERS,
    ),
)


def document() -> str:
    """Return the document that the tables make."""
    parts = [
        "# Reasons\n\nEvery stopped subscriber, every message and every decision ends with one of these codes. "
        "`GET /api/v1/why`, the admin's “Why?” page and a run's page tell them with their sentences and values.\n"
    ]
    for title, about, table in TABLES:
        rows = "\n".join(f"| `{code}` | {sentence % LIMITS} |" for code, sentence in table.items())
        parts.append(f"## {title}\n\n{about}\n\n| code | sentence |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def test_the_document_says_what_the_tables_say() -> None:
    assert DOCUMENT.read_text() == document(), "write it anew: python -m tests.test_reasons_document"


def test_every_code_that_a_provider_ends_a_message_with_has_a_sentence() -> None:
    final = (Verdict.DEAD, Verdict.FAILED)
    tables = (apns.BY_REASON, fcm.BY_ERROR_CODE, fcm.BY_STATUS, webpush.BY_STATUS, webpush.BY_WORDS)
    codes = {code for table in tables for verdict, code in table.values() if verdict in final}
    assert codes - reasons.PROVIDERS.keys() == set()


def test_every_code_that_the_code_names_has_a_sentence() -> None:
    root = Path(__file__).parent.parent / "delivery"
    source = "\n".join(path.read_text() for path in root.rglob("*.py"))
    dropped = set(re.findall(r'Drop\("(\w+)"', source))
    ended = set(re.findall(r'\.end\(\w+, "\w+", "(\w+)"', source))
    unsent = set(re.findall(r'Verdict\.(?:DEAD|FAILED), "(\w+)"', source))
    assert unsent and unsent - reasons.PROVIDERS.keys() == set()
    assert dropped and dropped - reasons.STOPPED.keys() == set()
    assert ended and ended - reasons.OUTCOMES.keys() == set()


def test_a_code_that_no_table_has_is_said_in_words() -> None:
    for said in (reasons.stopped_sentence, reasons.deferred_sentence, reasons.outcome_sentence):
        assert said("a_new_code") == "A new code."


def test_sentences_end_as_sentences_do() -> None:
    assert [code for *_, table in TABLES for code, said in table.items() if not said.endswith(".")] == []


if __name__ == "__main__":
    DOCUMENT.write_text(document())
