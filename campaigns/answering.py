"""`why` in plain sentences: from the facts of one subscriber and one campaign or run to what a person wants to hear."""

from datetime import UTC, datetime
from typing import Any

OUTCOME_WORDS = {
    "sent": "sent",
    "stored": "waits in the log",
    "expired": "not sent in time",
    "cancelled": "not sent",
    "failed": "failed",
}
RECEIPT_WORDS = {
    "acknowledged": "has it",
    "displayed": "showed it",
    "opened": "opened it",
    "dismissed": "dismissed it",
    "read": "read it",
}


def answer(facts: dict[str, Any]) -> dict[str, Any]:
    """Return `{"told": true, false or null, "sentences": […]}` for what `campaigns.why` has found.

    `told` is whether a provider or socket took at least one message; null: not known, or not yet.
    """
    run, outcomes = facts["run"], facts["outcomes"]
    told: bool | None = False
    if run is None:
        said = _without_run(facts)
    else:
        said = _of_run(run)
        if outcomes or facts["stopped"]:
            said += [f"They were stopped: {row['sentence']}" for row in facts["stopped"]]
            said += [_outcome(row) for row in outcomes]
            said += [_receipt(row) for row in facts["receipts"]]
            told = any(row["outcome"] == "sent" for row in outcomes)
            if not told and any(row["outcome"] == "stored" for row in outcomes):
                told = None
        else:
            reason, told = _nothing_recorded(facts)
            said += reason
    return {"told": told, "sentences": said}


def not_in_audience(audience: dict[str, Any]) -> str:
    """Return “not in the audience, because …”, and when that was found."""
    because = "; ".join(one["sentence"] for one in audience["failing"]) or "the segment does not choose them"
    return f"They are not in the audience, because {because}. {_now(audience)}"


def _now(audience: dict[str, Any]) -> str:
    at = datetime.fromisoformat(audience["evaluated_at"])
    return f"(Evaluated now, {at:%Y-%m-%d %H:%M:%S} UTC; it may have been otherwise then.)"


def _without_run(facts: dict[str, Any]) -> list[str]:
    campaign, audience, decisions = facts["campaign"], facts["audience"], facts["decisions"]
    said = [_decision(row) for row in decisions[:1]]
    if campaign is not None and not decisions:
        said.append(
            f"No run of “{campaign['name']}” has begun, and none of its rules has met an event about them; "
            f"the campaign is {campaign['state'].replace('_', ' ')}."
        )
    return said + _unwilling(audience) + ([] if audience["member"] else [not_in_audience(audience)])


def _of_run(run: dict[str, Any]) -> list[str]:
    said = [f"The run “{run['title']}” began {_when(run['created_at'])}."]
    if run["recalled"]:
        said.append(
            "The run was recalled: what it said is hidden from readers, and nothing more of it is sent."
        )
    elif run["state"] == "cancelled":
        reason = f" ({run['reason']})" if run["reason"] else ""
        said.append(f"The run was cancelled{reason}: what had not been sent then is not sent.")
    elif run["state"] == "failed":
        said.append(f"The run failed: {run['reason'] or 'no reason was given'}.")
    elif run["state"] == "paused":
        said.append("The run is paused: what waits is sent when somebody resumes it.")
    elif run["held"]:
        said.append("All of this lane is stopped: what waits is sent when somebody resumes it.")
    return said


def _nothing_recorded(facts: dict[str, Any]) -> tuple[list[str], bool | None]:
    """Return why there is neither a stop nor an outcome, and whether that is final."""
    run, audience = facts["run"], facts["audience"]
    over = run["state"] in ("done", "cancelled", "failed")
    named = [row for row in facts["decisions"] if row["run"] == run["uid"] and row["forwarded"]]
    if run["kind"] != "audience" and not named:
        said = [_decision(row) for row in facts["decisions"][:1]]
        return [
            *said,
            "Nothing is recorded of them in this run: it did not name them, or has not come to them yet.",
        ], (False if over else None)
    if run["kind"] == "audience":
        if run["reaches"] == "after":
            return ["They became a subscriber after the run began: its audience was frozen then."], False
        if not audience["member"]:
            return [not_in_audience(audience)], False
        if run["reaches"] == "later" and not over:
            return ["Their turn has not come yet: the run has not planned the page they are on."], None
    unwilling = _unwilling(audience)
    if unwilling:
        return unwilling, False
    if not any(device["meant"] for device in audience["devices"]):
        return [_no_device(audience)], False
    if over:
        return [
            "Nothing is recorded of them, though they would be told now: they were put off, or came into the "
            f"audience or got their device after their page was planned. {_now(audience)}"
        ], False
    return ["It waits to be sent to them."], None


def _no_device(audience: dict[str, Any]) -> str:
    devices = [device for device in audience["devices"] if device["state"] == "active"]
    wanted = ", ".join(audience["platforms"])
    if not audience["devices"]:
        what = "they have no device"
    elif not devices:
        what = f"their devices are retired ({audience['devices'][0]['retired_reason'] or 'no reason'})"
    else:
        have = ", ".join(sorted({device["platform"] for device in devices}))
        what = f"it is for {wanted} only, and they have {have}"
    return f"No message was made, because {what}. It stands in their log. {_now(audience)}"


def _unwilling(audience: dict[str, Any]) -> list[str]:
    if not audience["consent"]:
        return [f"They want no notifications at all. {_now(audience)}"]
    if audience["category"] and audience["allowed"] is False:
        return [f"They switched the category “{audience['category']}” off. {_now(audience)}"]
    if audience["category"] and audience["opt_in"] and not audience["allowed"]:
        return [
            f"“{audience['category']}” reaches only who asked for it, and they have not. {_now(audience)}"
        ]
    return []


def _decision(row: dict[str, Any]) -> str:
    detail = f" ({row['detail']})" if row["detail"] else ""
    rule = f"rule “{row['rule']}”" if row["rule"] else "no rule"
    return f"The event “{row['type']}” of {_when(row['at'])}, {rule}: {row['sentence']}{detail}"


def _outcome(row: dict[str, Any]) -> str:
    word = OUTCOME_WORDS.get(row["outcome"], row["outcome"])
    return f"{row['on']}: {word}, {_when(row['at'])}. {row['sentence']}"


def _receipt(row: dict[str, Any]) -> str:
    return f"{row['on']} {RECEIPT_WORDS.get(row['kind'], row['kind'])}, {_when(row['at'])}."


def _when(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
