"""Phrases that readers stumble over, and where they occur.

`python -m tests.words monitors docs/config.md` prints the findings of folders and files, with what
to write instead. `tests/unit/test_words.py` holds all that people read to this list.
"""

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple


class Phrase(NamedTuple):
    """Words to avoid.

    Attributes:
        pattern: regular expression; upper and lower case are equal.
        reason: why a reader stumbles.
        instead: what to write.
        allowed: regular expression of contexts in which the words are right.
    """

    pattern: str
    reason: str
    instead: str
    allowed: str = "(?!)"


TERM = "the field has another term for it"
ODD = "not idiomatic"
OLD = "archaic"
PERSON = "a thing is described as a person"
HEADLESS = "the noun is missing"
INVERTED = "inverted for effect"
AMBIGUOUS = "has two meanings"

PHRASES = [
    # the field's terms
    Phrase(
        r"\blook(s|ed|ing)?\b",
        TERM,
        "test, check, inspect",
        r"\blook(s|ed|ing)? (\w+ )?(up|for|like)\b|\blook-?ups?\b|\blook-ahead\b",
    ),
    Phrase(r"\blaws?\b", TERM, "null distribution, distribution", r"\b(Zipf|Benford)'s law\b"),
    Phrase(r"\bhonour(s|ed|able)?\b", TERM, "attainable (of a significance level)"),
    Phrase(
        r"\btruths?\b",
        TERM,
        "label, ground truth",
        r"\bground truth\b|\btruth values?\b|\bsource of truth\b",
    ),
    Phrase(
        r"\b(tells?|telling|told)\b",
        TERM,
        "notify, report, distinguish",
        r"\b(tells?|telling|told)( \w+){0,6} apart\b",
    ),
    Phrase(r"\bwanted\b", TERM, "desired, requested, expected"),
    Phrase(r"\blacking\b", TERM, "missing"),
    Phrase(r"\black(s|ed)?(?=[.,;:)]|$| most\b)", INVERTED, "missing from, without"),
    Phrase(r"\bbarred\b|\bbars? (a|an|the|it|this) ", TERM, "exclude", r"\bbars? (a|the) chart"),
    Phrase(r"\bunfit\b", TERM, "faulty"),
    Phrase(r"\bpardon(s|ed)?\b", TERM, "reinstate"),
    Phrase(r"\btrials?\b", TERM, "preflight check", r"\bBernoulli trials?\b"),
    Phrase(r"\brhythms?\b", TERM, "seasonality, seasonal pattern"),
    Phrase(r"\bpulse\b", TERM, "real-time check"),
    Phrase(r"\bdealt\b", TERM, "assigned"),
    Phrase(r"\battends?\b", TERM, "register"),
    Phrase(r"\bthe making of\b", TERM, "generation of"),
    Phrase(
        r"\b(model|pipeline|fleet|Grafana)('s)? pages?\b|\bon own pages\b"
        r"|\bpages? of (the|a|one|its|his|their) (model|own|pipeline)\b",
        TERM,
        "dashboard; Grafana's UI",
    ),
    Phrase(r"\bpresent (champion|challenger|version|state|line-up)s?\b", TERM, "current"),
    Phrase(r"\bedits? of (people|a person)\b|\bpeople('s)? edits?\b", TERM, "manual edits"),
    Phrase(r"\bgates? [\w ]{0,12}asked\b|\bask(s|ing)? the gates\b", TERM, "evaluate the gates"),
    Phrase(r"\bwhat (is|was) usual\b|\bis usual\b|\bthe usual(?=[.,;:)]|$)", TERM, "normal"),
    Phrase(r"(?-i:\bArgs:)", "one heading for all docstrings", "Parameters:"),
    # availability
    Phrase(r"\baway\b", TERM, "unavailable, removed", r"\b(right|straight|far) away\b"),
    Phrase(r"\b(is|are|was|were|comes?|came) back\b", TERM, "available again, returns"),
    Phrase(r"\b(is|are|was|were) over(?=[.,;:)]|$)", ODD, "has ended"),
    Phrase(r"\bback to life\b", ODD, "reactivate"),
    Phrase(r"\bgo(es|ne|ing)? back\b|\bwent back\b", TERM, "roll back, return"),
    Phrase(r"\b(go|goes|went|gone) on\b", ODD, "continue"),
    Phrase(r"\bserves? on\b", ODD, "keep serving", r"\bserves? on port\b"),
    Phrase(r"\bleft alone\b", ODD, "unchanged, not modified"),
    Phrase(r"\bstays?(?=[.,;:)]|$| as | where | whole)", ODD, "is kept, is unchanged"),
    Phrase(r"\bheard (of|from)\b", PERSON, "last seen, last reported"),
    # old or odd words
    Phrase(r"\banew\b", OLD, "again"),
    Phrase(r"\bonce more\b", OLD, "again"),
    Phrase(r"\bmend(s|ed|ing)?\b", OLD, "fix"),
    Phrase(r"\bseldom\b", OLD, "rarely"),
    Phrase(r"\b(lest|whence|thence|hitherto|hereby)\b", OLD, "a plain word"),
    Phrase(r"\bfor ever\b", OLD, "forever"),
    Phrase(r"(?<!, )\bbut for\b", OLD, "except"),
    Phrase(r"\bin vain\b", OLD, "without success"),
    Phrase(r"\bwish(es|ed)?\b", OLD, "want, request"),
    Phrase(r"\b(is|are|be|was) of (no )?use\b", OLD, "useful"),
    Phrase(r"\bfates?\b", ODD, "outcome"),
    Phrase(r"\bheal(s|ed|ing)?\b", ODD, "repair"),
    Phrase(r"\blet(s|ting)? go\b", ODD, "release, close, drop"),
    Phrase(r"\bexchange them\b", ODD, "swap them"),
    Phrase(r"\bas fast as it goes\b", ODD, "as fast as possible"),
    Phrase(r"\bsurest\b|\bhow surely\b", ODD, "most significant"),
    Phrase(r"\bcr(y|ies|ied) wolf\b", ODD, "raise false alarms"),
    Phrase(
        r"(?<!, )\bso (many|much|long|few)\b",
        ODD,
        "at most N, at least N, at least D, that long",
        r"\bso (many|much|few|long)\b[^.;:]* that\b|\bso long as\b",
    ),
    Phrase(r"\bwhatever\b", ODD, "regardless of, any"),
    Phrase(r"\bany more\b", ODD, "no longer", r"\bany more (than|\w+s)\b"),
    Phrase(
        r"\bat once\b",
        AMBIGUOUS,
        "immediately; at the same time, together",
        r"\b(all|both|many|several|two|three) (\w+ ){0,5}at once\b",
    ),
    Phrase(r"\bmay not\b", AMBIGUOUS, "must not, cannot, might not"),
    # things as persons
    Phrase(r"\b(says|said)\b", PERSON, "reports, shows, states; is"),
    Phrase(r"\bgoodbye\b", PERSON, "deregister, disconnect"),
    Phrase(r"\brefuses? to talk\b", PERSON, "authentication rejected, connection refused"),
    Phrase(r"\bhalf an answer\b", ODD, "truncated response"),
    Phrase(r"\bknows? (no|neither|nothing)\b", INVERTED, "does not support, does not have"),
    # sentences that have to be read twice
    Phrase(
        r"\b(is|are|was|were|be) (no|none)\b",
        INVERTED,
        "is not a, does not",
        r"(?-i:\bis None\b)|\bthere ((is|are|was|were) (no|none\b(?! of)))\b"
        r"|\b(is|are|was|were|be) no (longer|more|less|fewer|greater|larger|smaller|later|earlier"
        r"|older|newer|higher|lower)\b",
    ),
    Phrase(r"\bwhat(ever)? (becomes|became|has become|had become) of\b", ODD, "what happened to"),
    Phrase(r"\bwhat (comes|came)\b(?! (before|after)\b)", HEADLESS, "name what arrives"),
    Phrase(
        r"\b(label|event|row|message|window|record)s? (that )?(have |has |had )?(come|comes|came)\b"
        r"(?! (in|to|from|first|second|last|next|before|after)\b)",
        ODD,
        "arrive",
    ),
    Phrase(r"\b(what|that|which|those) (is|are|was|were) there\b", HEADLESS, "existing"),
    Phrase(
        r"\bstands?\b|\bstood\b", ODD, "is, appears", r"\bstands? (for|out)\b|\bstand-?(in|by)s?\b"
    ),
    Phrase(r"\bmine\b|\b(of|over|than|with) (theirs|ours)\b", HEADLESS, "name the owner"),
    Phrase(r"\b(for|by|to|from|of) who\b", HEADLESS, "for callers that, by users who"),
    Phrase(r"\bgives? (back|how many|which)\b", ODD, "returns"),
    Phrase(r"\bthat (it|they) (is|are) of\b", INVERTED, "a plain relative clause"),
    Phrase(r"^Those\b", HEADLESS, "the noun"),
    Phrase(
        r"\b(stops?|stopping|holds?|blames?|leaves?) no others?\b", INVERTED, "does not stop others"
    ),
    Phrase(r"\bwhat (is|was) to be\b", INVERTED, "what must be, to do"),
    Phrase(r"\bin (most )?trouble\b", ODD, "with problems, alerting"),
    Phrase(r"\bif need be\b", OLD, "if necessary"),
    Phrase(r"\bby hand\b", ODD, "manually"),
    Phrase(r"\b(is|are|was|were) gone\b", ODD, "no longer exists, has ended, was deleted"),
    Phrase(r"\b(of|chance of|share of) yes\b", ODD, "of 1, positive"),
    Phrase(r"\broll-backs?\b|\blog-ins?\b", "usual spelling", "rollback, login"),
    Phrase(
        r"\bone an? (day|model|week|hour|minute|family|column|window|worker|task|host|line)\b"
        r"|\b(line|row|column|file|job|table|rule|page|panel|request)s? an? "
        r"(model|feature|problem|monitor|version|worker|window|family|minute|partition)\b",
        ODD,
        "per: one per model, one line per problem",
        r"\b(give|make|run|file) a\b",
    ),
    # help texts and messages of the first drafts
    Phrase(
        r"^(Another one|A version|Its number|End it|Say more|Do not ask|The newest)\.$",
        HEADLESS,
        "what the option is: 'Version number.', 'Skip confirmation.'",
    ),
    Phrase(r"\bWithout: ", HEADLESS, "Omit to ..."),
    Phrase(r"\beach length once\b", HEADLESS, "window lengths must be unique"),
    Phrase(r"\bis at most of\b", ODD, "must not exceed"),
]
_LIST = [
    (re.compile(phrase.pattern, re.IGNORECASE), re.compile(phrase.allowed, re.IGNORECASE), phrase)
    for phrase in PHRASES
]


class Text(NamedTuple):
    """Something that people read, with its place."""

    place: str
    text: str


def findings(text: Text) -> Iterator[str]:
    """The phrases of the list in a text, one line each.

    >>> print(*findings(Text("a.py:3", "the database is away")), sep="")
    a.py:3: 'the database is away': away → unavailable, removed (the field has another term for it)
    """
    plain = " ".join(text.text.split())
    for pattern, allowed, phrase in _LIST:
        for match in pattern.finditer(plain):
            start, end = match.span()
            contexts = (context.span() for context in allowed.finditer(plain))
            if any(first <= start and end <= last for first, last in contexts):
                continue
            context = plain[max(start - 30, 0) : end + 30]
            shown = f"{match[0]} → {phrase.instead} ({phrase.reason})"
            yield f"{text.place}: {context!r}: {shown}"


def texts(path: Path) -> Iterator[Text]:
    """All that people read in a file, or in the files of a folder."""
    if path.is_dir():
        for inner in sorted(path.iterdir()):
            if not inner.is_symlink() and not inner.name.startswith((".", "_pycache")):
                yield from texts(inner)
    elif path.suffix in _READERS:
        yield from _READERS[path.suffix](path)


def _python(path: Path) -> Iterator[Text]:
    source = path.read_text()
    yield from _comments(path, source)
    yield from _strings(path, ast.parse(source))


def _comments(path: Path, source: str) -> Iterator[Text]:
    """Comments; those on lines one below another are one text."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    text = ""
    for comment, following in pairwise([*comments, None]):
        assert comment is not None
        text += comment.string.lstrip("#:! ") + " "
        if following and following.start == (comment.start[0] + 1, comment.start[1]):
            continue
        yield Text(f"{path}:{comment.start[0]}", text)
        text = ""


def _strings(path: Path, tree: ast.AST) -> Iterator[Text]:
    """String literals with more than one word; values inside an f-string are dots."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            ]
            yield Text(f"{path}:{node.lineno}", "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if " " in node.value:
                yield Text(f"{path}:{node.lineno}", node.value)
        else:
            yield from _strings(path, node)


def _page(path: Path) -> Iterator[Text]:
    """Paragraphs of a Markdown page, without code in running text."""
    number = 1
    for paragraph in re.split(r"(?<=\n)(?=\s*\n|[ ]*[-|] |[ ]*\d+\. )", path.read_text()):
        yield Text(f"{path}:{number}", re.sub(r"`[^`\n]+`", "`…`", paragraph))
        number += paragraph.count("\n")


def _lines(path: Path) -> Iterator[Text]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield Text(f"{path}:{number}", line.strip().lstrip("/*#: "))


def _dashboard(path: Path) -> Iterator[Text]:
    """Titles, descriptions and texts of a dashboard."""
    for key, text in _values(json.loads(path.read_text())):
        if key in ("title", "description", "content", "displayName", "label", "text"):
            yield Text(f"{path}: {key}", text)


def _values(node: Any) -> Iterator[tuple[str, str]]:
    items: Iterable[tuple[str, Any]] = ()
    if isinstance(node, dict):
        items = node.items()
    elif isinstance(node, list):
        items = (("", item) for item in node)
    for key, value in items:
        if isinstance(value, str):
            yield key, value
        yield from _values(value)


_READERS = {
    ".py": _python,
    ".md": _page,
    ".json": _dashboard,
    ".js": _lines,
    ".html": _lines,
    ".java": _lines,
}

if __name__ == "__main__":
    lines = [line for name in sys.argv[1:] for text in texts(Path(name)) for line in findings(text)]
    sys.stdout.write("\n".join([*lines, f"{len(lines)} findings\n"]))
    sys.exit(bool(lines))
