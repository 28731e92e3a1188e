"""Dealing examples like cards."""

import numpy as np


class Decks:
    """Decks of cards, dealt so that every card of a deck comes once before any comes again."""

    def __init__(self, cards, sizes):
        """Take shuffled cards, deck after deck, and the size of each deck."""
        self._cards = cards
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._next = np.zeros(len(self._ends), np.int64)

    def __len__(self):
        return len(self._ends)

    @property
    def cards(self):
        """All cards of all decks."""
        return self._cards

    def deal(self, deck, count, rng):
        """Deal ``count`` different cards of a deck; it is shuffled again as it runs out.

        Of a deck with fewer cards every card is dealt as often as it fits, and then some.
        """
        cards = self._cards[self._starts[deck] : self._ends[deck]]
        if count > len(cards):
            times, more = divmod(count, len(cards))
            hand = np.tile(cards, times)
            return np.concatenate([hand, self.deal(deck, more, rng)]) if more else hand
        start = self._next[deck]
        end = start + count
        if end <= len(cards):
            self._next[deck] = end
            return cards[start:end].copy()
        left, used = cards[start:].copy(), rng.permutation(cards[:start])
        missing = end - len(cards)
        # What completes this hand must not be in it already: it comes from the used cards alone.
        cards[:missing] = used[:missing]
        cards[missing:] = rng.permutation(np.concatenate([used[missing:], left]))
        self._next[deck] = missing
        return np.concatenate([left, cards[:missing]])
