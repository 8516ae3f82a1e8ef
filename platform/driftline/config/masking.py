"""Credentials in a config: detected where they are not allowed, and masked in error messages."""

import re

HIDDEN = "***"
_SENSITIVE = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?"
    r"|api[_.-]?key|access[_.-]?key|signature)"
)
# An address may have a user without a password: abfss://container@account.
_USER_INFO = r"https?://[^\s/?#@]*@|[a-z][a-z0-9+.-]*://[^\s@/]*:(?!\d*[/?#])[^\s@]*@"
_NO_SCHEME = r"(?:^|[\s,;'\"])[^\s:/@,;'\"]+:(?!//)[^\s@,;'\"]+@[\w.-]+:\d+"
_PARAMETER = rf"://\S*[?&#;][\w.-]*(?:{_SENSITIVE}|\b(?:auth|key|sig))=[^\s&#]"
_LOGIN = re.compile("|".join((_USER_INFO, _NO_SCHEME, _PARAMETER)), re.IGNORECASE)
_SECRET_SETTING = re.compile(
    rf"{_SENSITIVE}$|secret[_.-]?key|account\.key|auth-params|service-key|basic-auth"
    r"|jaas\.config|http-headers",
    re.IGNORECASE,
)

_BEFORE_HOST = re.compile(r"(\w[\w+.-]*://)?[^\n]*@")
_AFTER_PATH = re.compile(r"([?&#;][^=?&#;\s]*=).*", re.DOTALL)
_AFTER_NAME = re.compile(rf"({_SENSITIVE}\w*\s*[=:]).*", re.IGNORECASE | re.DOTALL)
_SIMPLE = re.compile(r"[\w.\-\[\]]{1,100}")
_SHOWN = 200  # characters of a value


def has_login(text: str) -> bool:
    """Whether a text contains credentials, such as an address with a password or token.

    >>> has_login("https://user:hunter2@host"), has_login("https://host?token=hunter2")
    (True, True)
    >>> has_login("abfss://container@account/x"), has_login("https://host:80/@me?page=2")
    (False, False)
    """
    return _LOGIN.search(text) is not None


def is_secret_setting(name: str) -> bool:
    """Whether the value of another product's setting is a secret, by the setting's name.

    >>> is_secret_setting("s3.secret-key"), is_secret_setting("security.ssl.rest.enabled")
    (True, False)
    """
    return _SECRET_SETTING.search(name) is not None


def masked(value: object) -> str:
    """A value as errors show it: at most one line, without anything that may be a credential.

    >>> masked("https://user:hunter2@host/x?token=hunter2")
    "'https://***@host/x?token=***'"
    >>> masked(70000)
    '70000'
    """
    if not isinstance(value, str):
        return _cut(repr(value))
    text = _BEFORE_HOST.sub(rf"\1{HIDDEN}@", value)
    for behind in (_AFTER_PATH, _AFTER_NAME):
        text = behind.sub(rf"\1{HIDDEN}", text)
    return _cut(repr(text))


def masked_key(key: str) -> str:
    """A key as errors show it; a text that cannot be a key may be a misplaced value.

    >>> masked_key("sasl.jaas.config"), masked_key("password hunter2")
    ('sasl.jaas.config', '***')
    """
    return key if _SIMPLE.fullmatch(key) else HIDDEN


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
