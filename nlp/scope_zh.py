"""How far a cue reaches in Chinese: commas open statements, 、及和与或 go on with a list.

A cue before a finding governs the rest of its clause ("未见结节、肿块"). One behind it governs what
it touches, and the list that this ends ("结节、肿块未见"); "病灶未见强化" says nothing of 病灶.
A clause that is a cue and nothing else speaks of the clause before it ("原右肾结石,此次未见").
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from nlp.lexicon import Cue
from nlp.match import Hit
from nlp.types import Presence

_HARD = re.compile(r"[;!\u3002]|(?<!\d)\.(?!\d)|(?<=\d)\.(?=[\u3400-\u9fff])|\n")
_COMMA = re.compile(r",")
_LIST_NUMBER = re.compile(r"(?:^|(?<=[\s;:,\u3002]))\(?\d{1,2}[.\u3001)]")
_NEXT_NUMBER = re.compile(r"(?<=[\u3400-\u9fff])\d{1,2}\u3001(?=[\u3400-\u9fff])")
"""A number with no mark before it ("1、结节2、积液"), in a sentence that begins with a number."""
_SPACE = re.compile(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])")
_FILLER = re.compile(
    r"(?:\s|:|\([^()]*\)|\(|较前片|较前|与前片比较|与前比较|性病变|性改变|样改变|样病变|病变|"
    r"改变|征象|表现|征|影像|影|灶|形成|存在|"
    r"等|之|的|均|都|亦|也|皆|现|今|目前|此次|本次|仍|尚|暂|已|明显|明确|确切|显示|诊断|首先|较|"
    r"完全|性|样|者|处|情况|倾向)*+"
)
"""What may stand between a finding and the cue behind it. Possessive (``*+``) like those below: a
text of many such words takes linear time."""
_JOINT = re.compile(r"\s?(?:[\u3001/+]|及|和|与|或|并|伴|合并|以及)")
_AFTER = re.compile(r"(?:影像|影|征象|征|等|之|了|\s|\))*+(?:$|[,;.:!?\u3002\u3001\n(])")
"""What may stand between a cue that ends its clause and the end of the clause."""
_ASIDE = re.compile(
    r"(?:[\s\d.x%:()~<>/-]|mm|cm|ct|毫米|厘米|最大径|长径|短径|直径|此次|本次|目前|复查|检查|大小|"
    r"范围|比较|对比|病灶|厚处|厚度|边缘|边界|光整|清晰|密度|均匀|分叶状|"
    r"[现今约较前片旧原径者大均已亦仍略稍与同次示其最宽为清呈至系属])*+"
)
"""A clause that only measures, describes or compares what the clause before it names."""
_LIST_ITEM = re.compile(
    r"(?:明显|明确|异常)?(?:结节|肿块|肿物|占位|实变|渗出|空洞|钙化|积液|积气|胸水|腹水|气胸|骨折|"
    r"脱位|移位|出血|血肿|梗死|水肿|结石|积水|扩张|狭窄|梗阻|增厚|粘连|强化|转移|破坏|充盈缺损|"
    r"肿大淋巴结|淋巴结肿大|斑片|条索|包块|囊肿|畸形|肿胀|坏死|穿孔|脓肿|游离气体|气液平面?)"
    r"(?:影|灶|征|征象|形成|病变|等)*$"
)
"""A clause of one bare noun, which goes on with a list that a denial opened."""


class ChineseClauses:
    """The clauses of one sentence, with one mention left out; see `nlp.scope.Clauses`.

    Parameters
    ----------
    text
        The folded text that the offsets count in.
    cues
        Winning cue hits of the sentence, none of which touches the mention.
    start, end
        Of the sentence.
    """

    def __init__(self, text: str, cues: Sequence[Hit[Cue]], start: int, end: int) -> None:
        self._text = text
        self._end = end
        self._hard, self._commas = _borders(text, start, end)
        if not self._commas:
            self._commas = _commas_left_out(text, cues, start, end)
        self._stops = [hit for hit in cues if hit.value.type == "stop"]
        self._deciding = [hit for hit in cues if hit.value.certainty is not None]

    def reaches(self, cue: Hit[Cue], start: int, end: int) -> bool:
        """Whether a cue governs the mention ``start:end``."""
        if cue.end <= start:
            return cue.value.direction != "backward" and self._reaches_forward(cue, start, end)
        return cue.value.direction != "forward" and self._reaches_backward(cue, end)

    def _reaches_forward(self, cue: Hit[Cue], start: int, end: int) -> bool:
        scope = cue.value.scope
        if scope == "word":
            return not self._text[cue.end : start].strip() and not self._is_led(cue)
        if self._is_parted(cue.end, start):
            return False
        commas = _between(self._commas, cue.end, start)
        if scope == "sentence" or not commas:
            return True
        if scope == "clause" or cue.value.certainty is not Presence.ABSENT:
            return False
        behind = _between(self._commas, end, self._end)
        items = [*commas, behind[0] if behind else self._end]
        return all(
            _LIST_ITEM.fullmatch(self._text[first + 1 : last].strip().rstrip(".\u3002;"))
            for first, last in pairwise(items)
        )

    def _reaches_backward(self, cue: Hit[Cue], end: int) -> bool:
        if cue.value.at_end and not _AFTER.match(self._text, cue.end):
            return False
        if self._is_parted(end, cue.start) or self._is_led(cue):
            return False
        commas = _between(self._commas, end, cue.start)
        if not commas:
            return cue.value.scope == "clause" or self._touches(end, cue)
        if cue.value.scope != "sentence":
            return False
        asides = [*commas, cue.start]
        return all(
            _ASIDE.fullmatch(self._text[first + 1 : last]) for first, last in pairwise(asides)
        )

    def _touches(self, end: int, cue: Hit[Cue]) -> bool:
        """Whether only small words, or the rest of a list, stand between a mention and a cue."""
        filler = _FILLER.match(self._text, end, cue.start)
        at = filler.end() if filler else end
        if at >= cue.start:
            return True
        if cue.value.scope == "word":
            return False
        if cue.value.scope == "sentence" and _ASIDE.fullmatch(self._text, at, cue.start):
            return True
        return _JOINT.match(self._text, at, cue.start) is not None

    def _is_led(self, cue: Hit[Cue]) -> bool:
        """Whether another cue of the clause decides over two alternatives, not the "or" of them."""
        if cue.value.direction != "both" or cue.value.scope != "word":
            return False
        return any(
            not hit.overlaps(cue.start, cue.end)
            and self._is_one_clause(min(hit.end, cue.end), max(hit.start, cue.start))
            for hit in self._deciding
        )

    def _is_one_clause(self, start: int, end: int) -> bool:
        return not self._is_parted(start, end) and not _between(self._commas, start, end)

    def _is_parted(self, start: int, end: int) -> bool:
        return bool(_between(self._hard, start, end)) or any(
            start <= stop.start and stop.end <= end for stop in self._stops
        )


@lru_cache(maxsize=2)
def _borders(text: str, start: int, end: int) -> tuple[list[int], list[int]]:
    """Where statements end, and where commas stand; kept for all mentions of a sentence."""
    hard = [match.start() for match in _HARD.finditer(text, start, end)]
    hard += [match.start() for match in _LIST_NUMBER.finditer(text, start, end)]
    if _LIST_NUMBER.match(text, start, end):
        hard += [match.start() for match in _NEXT_NUMBER.finditer(text, start, end)]
    return sorted(hard), [match.start() for match in _COMMA.finditer(text, start, end)]


def _commas_left_out(text: str, cues: Sequence[Hit[Cue]], start: int, end: int) -> list[int]:
    """Spaces of a sentence without commas that part statements: no cue stands at them."""
    edges = {edge for cue in cues for edge in (cue.start - 1, cue.end)}
    found = (match.start() for match in _SPACE.finditer(text, start, end))
    return [space for space in found if space not in edges]


def _between(places: list[int], start: int, end: int) -> list[int]:
    """Those of sorted places that lie in ``start:end``."""
    return places[bisect_left(places, start) : bisect_left(places, end)]
