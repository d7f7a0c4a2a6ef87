"""What is made of each setting of a site's files while its cluster is read from them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from campaign.schema.cluster import OBJECT_NAME
from schedulers.site_settings import SiteLine, Verdict
from schedulers.slurm.conf_file import ConfPair
from schedulers.slurm.spelling import seconds

NOTHING = frozenset({"", "(null)", "none", "n/a"})
ENDLESS = frozenset({"unlimited", "infinite", "-1"})


class Notes:
    """Verdicts on settings, of which the last one on each counts, and sentences on the whole."""

    def __init__(self) -> None:
        # Two settings may be equal, so they are told apart by what they are.
        self._lines: dict[int, tuple[ConfPair, SiteLine]] = {}
        self.sentences: list[str] = []

    @property
    def lines(self) -> tuple[SiteLine, ...]:
        """The verdicts, in the order in which the settings were looked at."""
        return tuple(line for _, line in self._lines.values())

    def add(self, pair: ConfPair, verdict: Verdict, why: str = "") -> None:
        """Note the verdict on a setting, in the place of an earlier one."""
        line = SiteLine(pair.file, pair.line, pair.key, pair.value, verdict, why)
        self._lines[id(pair)] = (pair, line)

    def say(self, sentence: str) -> None:
        """Note a sentence on the whole, once."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def whole(self, pair: ConfPair | None, low: int, high: int) -> int | None:
        """Return the whole number that a setting has; None where it has none, which is noted."""
        if pair is None or pair.value.lower() in NOTHING | ENDLESS:
            return None
        digits = pair.value if re.fullmatch(r"[0-9]{1,18}", pair.value) else "-1"
        if not low <= int(digits) <= high:
            self.add(pair, "refused", f"not a whole number from {low} to {high}")
            return None
        return int(digits)

    def duration_s(self, pair: ConfPair | None) -> float | None:
        """Return the seconds that a setting has; None for no limit, and for what can't be read."""
        if pair is None or pair.value.lower() in NOTHING | ENDLESS:
            return None
        try:
            found = seconds(pair.value)
        except ValueError as error:
            self.add(pair, "refused", str(error))
            return None
        if not 1 <= found <= 10**10:
            self.add(pair, "refused", "a limit has a second at least")
            return None
        return float(found)

    def names(self, pair: ConfPair | None) -> list[str]:
        """Return the names that a setting lists, without those that can't be kept (noted)."""
        if pair is None or pair.value.lower() in NOTHING:
            return []
        words = list(dict.fromkeys(word.strip() for word in pair.value.split(",")))
        known = [word for word in words if is_name(word)]
        if left := [word for word in words if word and word not in known]:
            self.add(pair, "missing", f"{', '.join(left)}: no name that can be kept")
        return known

    def known(self, pair: ConfPair | None, there: Iterable[str], who: str) -> list[str]:
        """Return the listed names that are among `there`; what is not is noted."""
        if pair is None or pair.value.lower() == "all":
            return []
        names = self.names(pair)
        among = set(there)
        if left := [name for name in names if name not in among]:
            self.add(pair, "missing", f"{who} describes {', '.join(left[:5])}")
        return [name for name in names if name in among]


def is_name(text: str) -> bool:
    """Return whether groups, partitions, accounts and the like may be called so."""
    return re.fullmatch(OBJECT_NAME, text) is not None


def pairs_of(file: Path, line: int, fields: Mapping[str, str]) -> dict[str, ConfPair]:
    """Return settings of a line that is no Key=value, by key in lower case without blanks."""
    return {
        re.sub(r"[\s_]", "", key).lower(): ConfPair(file, line, key, value, first=not place)
        for place, (key, value) in enumerate(fields.items())
    }
