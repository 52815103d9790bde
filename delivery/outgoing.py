"""What a parcel carries: the messages of one page for one provider, each with its contents and targets."""

from collections.abc import Iterator

import msgspec

from delivery.content import Content


class Target(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message: a notification for one device. UUIDs are 16 bytes; `content` indexes the contents.

    `since` is the instant (epoch seconds) from which its age is counted.
    """

    device: int
    device_uid: bytes
    subscriber: int
    subscriber_uid: bytes
    notification: bytes
    token: str
    sandbox: bool
    platform: str
    content: int
    expires_at: float | None
    since: float = 0.0


class Outgoing(msgspec.Struct, array_like=True):
    """The messages of one page for one provider; equal contents stand once."""

    contents: list[Content] = []
    targets: list[Target] = []
    stamp: float = 0.0

    @property
    def size(self) -> int:
        return len(self.targets)

    def add(self, target: Target, content: Content) -> None:
        """Add a message; contents that are one object, as unpersonalised ones are, stand once."""
        if not self.contents or self.contents[-1] is not content:
            self.contents.append(content)
        self.targets.append(
            Target(
                target.device,
                target.device_uid,
                target.subscriber,
                target.subscriber_uid,
                target.notification,
                target.token,
                target.sandbox,
                target.platform,
                len(self.contents) - 1,
                target.expires_at,
                target.since,
            )
        )

    def only(self, indexes: list[int]) -> "Outgoing":
        """Return the messages at `indexes`, with the contents they need."""
        part = Outgoing(stamp=self.stamp)
        for index in indexes:
            target = self.targets[index]
            part.add(target, self.contents[target.content])
        return part

    def split(self, most: int) -> Iterator["Outgoing"]:
        """Yield the messages in parts of at most `most`."""
        if self.size <= most:
            yield self
            return
        for start in range(0, self.size, most):
            yield self.only(list(range(start, min(start + most, self.size))))

    def last_expiry(self) -> float | None:
        """Return the instant from which none of the messages is worth sending, None for never."""
        latest = 0.0
        for target in self.targets:
            if target.expires_at is None:
                return None
            latest = max(latest, target.expires_at)
        return latest


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Outgoing).decode
