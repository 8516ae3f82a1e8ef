"""The stand-in's templates of annotations: the part of Go's that driftline and scenario 18 use."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_ACTION = re.compile(
    r"\{\{ (?:\$labels\.(?P<label>\w+)|\$values\.(?P<ref>\w+)\.(?:Value|Labels\.(?P<of>\w+))"
    r'|index \$values "(?P<index>\w+)"|(?P<all>\$value)) \}\}'
)
_IF = re.compile(r'\{\{ if eq \$labels\.(\w+)((?: "[^"]*")+) \}\}(.*?)\{\{ end \}\}')


@dataclass(frozen=True)
class Captured:
    """What a template sees of one row of a query or an expression."""

    labels: Mapping[str, str]
    value: float


def expand(template: str, labels: Mapping[str, str], values: Mapping[str, Captured]) -> str:
    """The text; what it does not know is left as it is, as the server leaves a broken template."""

    def chosen(found: re.Match[str]) -> str:
        return found[3] if labels.get(found[1]) in re.findall('"([^"]*)"', found[2]) else ""

    def filled(found: re.Match[str]) -> str:
        if found["all"]:
            return _all(values)
        if found["label"]:
            return labels.get(found["label"], "[no value]")
        row = values.get(found["ref"] or found["index"])
        if row is None:
            return "[no value]"
        return row.labels.get(found["of"], "[no value]") if found["of"] else _number(row.value)

    return _ACTION.sub(filled, _IF.sub(chosen, template))


def _all(values: Mapping[str, Captured]) -> str:
    rows = (
        f"[ var='{ref}' labels={{{', '.join(f'{k}={v}' for k, v in sorted(row.labels.items()))}}} "
        f"value={_number(row.value)} ]"
        for ref, row in sorted(values.items())
    )
    return ", ".join(rows) or "[no value]"


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:g}"
