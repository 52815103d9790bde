"""An APNs key: apns2's provider token, made of the key's text, with a life that all processes share.

Source: "Establishing a token-based connection to APNs" (developer.apple.com/documentation/usernotifications/
establishing-a-token-based-connection-to-apns).
"""

import hashlib
import re
import time

from apns2.credentials import TokenCredentials

from delivery.senders.contract import Credential, CredentialError
from devices.words import gettext as _

BASE_URL = "https://api.push.apple.com"
SANDBOX_URL = "https://api.sandbox.push.apple.com"
LIFE_SECONDS = 2700.0
"""A provider token may be renewed after 20 minutes and must be before 60."""

_ID = re.compile(r"[A-Za-z0-9]{10}")
_TOPIC = re.compile(r"[A-Za-z0-9.-]{1,255}")


def topic_of(credential: Credential) -> str:
    """Return the topic of a credential: the bundle identifier of the app; raises `CredentialError` without one."""
    topic = credential.settings.get("topic")
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise CredentialError(
            "bad_topic_setting",
            _("The settings need a topic, the bundle identifier of the app: %(example)s.")
            % {"example": '{"topic": "com.example.app"}'},
        )
    return topic


def prefix_of(credential: Credential, *, sandbox: bool) -> str:
    """Return the URL of a device without its token."""
    production = credential.base_url or BASE_URL
    own = credential.sandbox_url or credential.base_url or SANDBOX_URL
    return (own if sandbox else production) + "/3/device/"


class Key(TokenCredentials):  # type: ignore[misc]  # apns2 has no types
    """The key of one credential; raises `CredentialError` when it is not well-formed."""

    by_certificate = False
    pem = ""

    def __init__(self, credential: Credential) -> None:
        secret = credential.secret
        key_id, team_id = secret.get("key_id"), secret.get("team_id")
        for name, value in (("key_id", key_id), ("team_id", team_id)):
            if not isinstance(value, str) or not _ID.fullmatch(value):
                raise CredentialError(
                    f"bad_{name}",
                    _("The %(name)s must be the ten letters and digits that Apple's developer site shows.")
                    % {"name": name},
                )
        topic = topic_of(credential)
        private_key = secret.get("private_key")
        super().__init__(private_key if isinstance(private_key, str) else "", key_id, team_id)
        self.topic = topic
        self.identity = f"{team_id}:{key_id}:{hashlib.sha256(str(private_key).encode()).hexdigest()[:16]}"
        """The same for all credentials with this key: APNs counts tokens and connections by it."""
        self._key_id, self._credential = key_id, credential
        self.mint()

    @staticmethod
    def _get_signing_key(key_path: str) -> str:
        return key_path  # apns2 reads a file; our keys stand encrypted in the database

    def _is_expired_token(self, issue_date: float) -> bool:
        return True  # apns2 would keep it for itself; ours is kept for all processes

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return _("key %(key)s for %(topic)s") % {"key": self._key_id, "topic": self.topic}

    def mint(self) -> tuple[str, float]:
        """Sign a provider token; return it and when to make the next."""
        now = time.time()
        try:
            return self._get_or_create_topic_token(), now + LIFE_SECONDS
        except Exception as error:  # PyJWT and cryptography raise many kinds for a bad key
            raise CredentialError(
                "bad_private_key",
                _(
                    "The private key cannot be used: it must be the text of the .p8 file, an EC key on P-256, "
                    "with its BEGIN and END lines (%(error)s)."
                )
                % {"error": type(error).__name__},
            ) from error

    def prefix(self, *, sandbox: bool) -> str:
        """Return the URL of a device without its token."""
        return prefix_of(self._credential, sandbox=sandbox)
