"""What a welcome says of each instrument: made once, a few at a time, for whoever asks for it.

State of `Names`: the JSON text of every instrument that was ever welcomed today.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tapedeck.instruments import Instruments
from tapedeck.relay import messages

#: Texts made in one go, about 1 ms; a viewer may ask for 3,000.
AT_ONCE = 150


class Names:
    """Texts of instruments, by token."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._texts: dict[int, str] = {}

    def prepare(self, tokens: Iterable[int]) -> Iterator[None]:
        """Make the texts that are missing, with a pause after every few."""
        made = 0
        for token in tokens:
            if token not in self._texts:
                self._text(token)
                made += 1
                if made % AT_ONCE == 0:
                    yield

    def joined(self, tokens: Iterable[int]) -> str:
        """The texts of these instruments as the inside of a JSON list, in their order; unknown ones left out."""
        return ",".join(text for text in map(self._text, tokens) if text)

    def _text(self, token: int) -> str:
        text = self._texts.get(token)
        if text is None:
            found = self._instruments.find(token)
            text = self._texts[token] = "" if found is None else messages.instrument(found)
        return text
