"""Numbers in sentences."""


def counted(n: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "window"), counted(1_200, "window")
    ('1 window', '1,200 windows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
