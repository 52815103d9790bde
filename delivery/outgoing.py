"""What a parcel carries: the messages of one page for one provider, each with its contents and targets."""

from collections.abc import Iterator

import msgspec

from delivery.content import Content


class Target(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message: a notification for one device. UUIDs are 16 bytes; `content` indexes the contents.

    `quiet`: it expires because the person's quiet hours begin. `of` is the number of messages of
    the notification.
    `then` is the provider that pushes to the device when its WebSocket stays silent, empty for none.
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
    quiet: bool = False
    of: int = 1
    then: str = ""
    since: float = 0.0


class Outgoing(msgspec.Struct, array_like=True):
    """The messages of one page for one provider; equal contents stand once.

    `silence` says that they are pushed only where nothing was heard: `written` when each stood on its
    device's WebSocket, `asked` when that is not known or another device had it; empty for no condition.
    """

    contents: list[Content] = []
    targets: list[Target] = []
    stamp: float = 0.0
    silence: str = ""

    @property
    def size(self) -> int:
        return len(self.targets)

    def place(self, content: Content) -> int:
        """Return the index of a content, put in if need be; one object, as unpersonalised ones are, stands once."""
        contents = self.contents
        if not contents or contents[-1] is not content:
            contents.append(content)
        return len(contents) - 1

    def add(self, target: Target, content: Content) -> None:
        """Add a message that stood elsewhere."""
        at = self.place(content)
        self.targets.append(target if target.content == at else msgspec.structs.replace(target, content=at))

    def only(self, indexes: list[int]) -> "Outgoing":
        """Return the messages at `indexes`, in order, with the contents they need."""
        if len(indexes) == len(self.targets):
            return Outgoing(self.contents.copy(), self.targets.copy(), self.stamp, self.silence)
        part = Outgoing(stamp=self.stamp, silence=self.silence)
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
