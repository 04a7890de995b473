"""Texts of records, revisions and files as what they are, wherever they are shown: a record may hold
anything."""

import re
import unicodedata

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode's categories of what is not seen


def clean(text):
    """Without what XML forbids, what a terminal obeys and what no reader sees."""

    def visible(character):
        if character in "\t\n\r":
            return " "
        hidden = unicodedata.category(character) in HIDDEN or ord(character) & 0xFFFE == 0xFFFE
        return "\ufffd" if hidden else character

    return "".join(map(visible, str(text)))


def plain(text):
    """A text as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#|~&$@]|:(?=//))", r"\\\1", clean(text))


def plain_name(text):
    """Likewise, for names of cases, whose underscores mean nothing within a word."""
    return re.sub(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])", "_", plain(text))
