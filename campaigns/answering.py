"""`why` in plain sentences: from the facts of one subscriber and one campaign or run to what a person wants to hear."""

from datetime import datetime
from typing import Any

from devices.words import gettext as _
from devices.words import gettext_noop, instant, within

OUTCOME_WORDS = {
    "sent": gettext_noop("sent"),
    "stored": gettext_noop("waits in the log"),
    "expired": gettext_noop("not sent in time"),
    "cancelled": gettext_noop("not sent"),
    "failed": gettext_noop("failed"),
}
RECEIPT_WORDS = {
    "acknowledged": gettext_noop("%(on)s has it, %(at)s."),
    "displayed": gettext_noop("%(on)s showed it, %(at)s."),
    "opened": gettext_noop("%(on)s opened it, %(at)s."),
    "dismissed": gettext_noop("%(on)s dismissed it, %(at)s."),
    "read": gettext_noop("%(on)s read it, %(at)s."),
}
STATES = {
    "draft": gettext_noop("Draft"),
    "in_review": gettext_noop("In review"),
    "approved": gettext_noop("Approved"),
    "live": gettext_noop("Live"),
    "ended": gettext_noop("Ended"),
    "archived": gettext_noop("Archived"),
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
            said += [_("They were stopped: %(sentence)s") % row for row in facts["stopped"]]
            said += [outcome_of(row) for row in outcomes]
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
    because = "; ".join(one["sentence"] for one in audience["failing"]) or _(
        "the segment does not choose them"
    )
    said = _("They are not in the audience, because %(because)s.") % {"because": because}
    return f"{said} {_now(audience)}"


def _now(audience: dict[str, Any]) -> str:
    at = _when(audience["evaluated_at"])
    return _("(Evaluated now, %(at)s; it may have been otherwise then.)") % {"at": at}


def _without_run(facts: dict[str, Any]) -> list[str]:
    campaign, audience, decisions = facts["campaign"], facts["audience"], facts["decisions"]
    said = [_decision(row) for row in decisions[:1]]
    if campaign is not None and not decisions:
        said.append(
            _(
                "No run of “%(campaign)s” has begun, and none of its rules has met an event about them; "
                "the campaign is %(state)s."
            )
            % {"campaign": campaign["name"], "state": within(_(STATES.get(campaign["state"], "?")))}
        )
    return said + _unwilling(audience) + ([] if audience["member"] else [not_in_audience(audience)])


def _of_run(run: dict[str, Any]) -> list[str]:
    said = [_("The run “%(run)s” began %(at)s.") % {"run": run["title"], "at": _when(run["created_at"])}]
    if run["recalled"]:
        said.append(
            _("The run was recalled: what it said is hidden from readers, and nothing more of it is sent.")
        )
    elif run["state"] == "cancelled":
        reason = f" ({run['reason']})" if run["reason"] else ""
        said.append(
            _("The run was cancelled%(reason)s: what had not been sent then is not sent.")
            % {"reason": reason}
        )
    elif run["state"] == "failed":
        said.append(_("The run failed: %(reason)s.") % {"reason": run["reason"] or _("no reason was given")})
    elif run["state"] == "paused":
        said.append(_("The run is paused: what waits is sent when somebody resumes it."))
    elif run["held"]:
        said.append(_("All of this lane is stopped: what waits is sent when somebody resumes it."))
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
            _("Nothing is recorded of them in this run: it did not name them, or has not come to them yet."),
        ], (False if over else None)
    if run["kind"] == "audience":
        if run["reaches"] == "after":
            return [_("They became a subscriber after the run began: its audience was frozen then.")], False
        if not audience["member"]:
            return [not_in_audience(audience)], False
        if run["reaches"] == "later" and not over:
            return [_("Their turn has not come yet: the run has not planned the page they are on.")], None
    unwilling = _unwilling(audience)
    if unwilling:
        return unwilling, False
    if not any(device["meant"] for device in audience["devices"]):
        return [_no_device(audience)], False
    if over:
        return [
            _(
                "Nothing is recorded of them, though they would be told now: they were put off, or came into the "
                "audience or got their device after their page was planned."
            )
            + f" {_now(audience)}"
        ], False
    return [_("It waits to be sent to them.")], None


def _no_device(audience: dict[str, Any]) -> str:
    devices = [device for device in audience["devices"] if device["state"] == "active"]
    wanted = ", ".join(audience["platforms"])
    because = ""
    if not audience["devices"]:
        what = _("they have no device")
    elif not devices:
        what = _("their devices are retired")
        because = audience["devices"][0]["retired_because"]
    else:
        have = ", ".join(sorted({device["platform"] for device in devices}))
        what = _("it is for %(wanted)s only, and they have %(have)s") % {"wanted": wanted, "have": have}
    said = _("No message was made, because %(what)s. It stands in their log.") % {"what": what}
    return " ".join(filter(None, (said, because, _now(audience))))


def _unwilling(audience: dict[str, Any]) -> list[str]:
    if not audience["consent"]:
        return [f"{_('They want no notifications at all.')} {_now(audience)}"]
    if audience["category"] and audience["allowed"] is False:
        return [f"{_('They switched the category “%(category)s” off.') % audience} {_now(audience)}"]
    if audience["category"] and audience["opt_in"] and not audience["allowed"]:
        said = _("“%(category)s” reaches only who asked for it, and they have not.") % audience
        return [f"{said} {_now(audience)}"]
    return []


def _decision(row: dict[str, Any]) -> str:
    detail = f" ({row['detail']})" if row["detail"] else ""
    rule = _("rule “%(rule)s”") % row if row["rule"] else _("no rule")
    values = {"type": row["type"], "at": _when(row["at"]), "rule": rule, "sentence": row["sentence"]}
    return _("The event “%(type)s” of %(at)s, %(rule)s: %(sentence)s") % values + detail


def outcome_of(row: dict[str, Any]) -> str:
    """Return what became of a message, with the sentence of its reason."""
    word = _(OUTCOME_WORDS.get(row["outcome"], row["outcome"]))
    return f"{row['on']}: {word}, {_when(row['at'])}. {row['sentence']}"


def _receipt(row: dict[str, Any]) -> str:
    said = _(RECEIPT_WORDS.get(row["kind"], "%(on)s: %(kind)s, %(at)s."))
    return said % {"on": row["on"], "kind": row["kind"], "at": _when(row["at"])}


def _when(at: str) -> str:
    return instant(datetime.fromisoformat(at))
