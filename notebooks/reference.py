"""The public names of simnb for the site: what griffe reads of each, and where a mention of one leads.

Nothing is imported: signatures and docstrings come from the text, so that the reference needs no backend.
"""

import ast
import html
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import griffe
import mistune
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer

ROOT = Path(__file__).parents[1]
GOOGLE = {"returns_named_value": False, "returns_multiple_items": False, "warnings": False}
KINDS = {"class": "class", "function": "function", "attribute": "constant"}
#: Of whose names old scripts speak; what is said without a room is never meant to be one of them.
OLD = "tfsim"
# Methods that Keras calls, and nobody else.
KERAS = {"call", "build", "compute_output_shape", "get_config", "from_config", "get_compile_config"}
KERAS |= {"compile_from_config", "save_assets", "load_assets"}
# Where a mention of a name may lead: not in links, headings and blocks of code.
MENTIONS = re.compile(r"<(a|pre|h[1-6]|title|style|script)\b.*?</\1>|<code>([^<]*)</code>", re.S)
OLD_NAMES = re.compile(r"(<tr>\s*<td\b[^>]*>)(.*?)(?=</td>)", re.S)  # the first cell of a row
_markdown = mistune.create_markdown(escape=True, plugins=["url", "table"])


@dataclass
class Entry:
    """A public name, or what can be called or read of a class."""

    name: str
    room: "Room"
    thing: griffe.Object
    members: list["Entry"] = field(default_factory=list)

    @property
    def dotted(self):
        """Its name as people write it who import its room: ``index.Index.add``."""
        return f"{self.room.name}.{self.name}"

    @property
    def page(self):
        """The page of its room, and the anchor there."""
        return f"{self.room.page}#{self.name}"

    @property
    def kind(self):
        """What it is, in a word."""
        if "property" in self.thing.labels:
            return "property"
        return KINDS[self.thing.kind.value]

    @property
    def text(self):
        """Its docstring, or the comment over a constant."""
        return self.thing.docstring.value if self.thing.docstring else "\n".join(self._comment())

    @property
    def summary(self):
        """The first sentence, on one line."""
        return " ".join(self.text.partition("\n\n")[0].split())

    @property
    def has_example(self):
        """Whether its docstring, or that of a method, shows it at work."""
        return any(">>>" in each.text for each in [self, *self.members])

    def gives(self, other):
        """Whether what it returns or holds is the other, or it is the same thing in another room."""
        if not other.thing.is_class:
            return self.thing is other.thing
        things = [self.thing, *(member.thing for member in self.members)]
        said = [thing.returns for thing in things if thing.is_function]
        said += [thing.annotation for thing in things if thing.is_attribute]
        if "dataclass" in self.thing.labels:
            said += [argument.annotation for argument in self.thing.parameters]
        return bool(re.search(rf"\b{re.escape(other.name)}\b", " ".join(map(str, said))))

    def is_kind_of(self, other):
        """Whether it is a class that derives from the other."""
        return self.thing.is_class and other.thing in self.thing.mro()

    @property
    def lines(self):
        """Where it is: the file below the root, its first and its last line."""
        return self.thing.filepath.relative_to(ROOT).as_posix(), self.thing.lineno, self.thing.endlineno

    def _comment(self):
        """What ``#:`` says in the lines before."""
        before = self.thing.filepath.read_text(encoding="utf-8").splitlines()[: self.thing.lineno - 1]
        said = []
        while before and before[-1].startswith("#:"):
            said.insert(0, before.pop().removeprefix("#:").strip())
        return said

    def signature(self):
        """How it is called, one argument a line where the line would be long; a constant with its value."""
        thing, called = self.thing, self.name.rpartition(".")[2]
        if self.kind == "constant":
            return f"{called} = {thing.value}"
        if self.kind == "property":
            return f"{called}: {thing.annotation}"
        parts, result = _arguments(thing), ""
        if thing.is_function and thing.returns is not None:
            result = f" -> {thing.returns}"
        parts, result = [part.replace("typing.", "") for part in parts], result.replace("typing.", "")
        short = f"{called}({', '.join(parts)}){result}"
        if len(short) <= 88:
            return short
        return "\n".join([f"{called}(", *(f"    {part}," for part in parts), f"){result}"])

    def sections(self):
        """(title, what) of each section of its docstring."""
        return _sections(self.thing) if self.thing.docstring else [("", self.text)]


@dataclass
class Room:
    """A public module, whose names have one page together."""

    module: griffe.Module
    entries: list[Entry] = field(default_factory=list)

    @property
    def name(self):
        """Its dotted name, below ``simnb``."""
        return self.module.path.removeprefix("simnb.")

    @property
    def dotted(self):
        """Its dotted name."""
        return self.module.path

    @property
    def page(self):
        """Where the site has it."""
        return f"reference/{self.module.path}.html"

    @property
    def text(self):
        """Its docstring."""
        return self.module.docstring.value

    @property
    def summary(self):
        """The first sentence of its docstring."""
        return " ".join(self.text.partition("\n\n")[0].split())

    @property
    def file(self):
        """Its file, below the root."""
        return self.module.filepath.relative_to(ROOT).as_posix()

    def sections(self):
        """As those of an entry."""
        return _sections(self.module)


@cache
def read_rooms():
    """Every public room of simnb, with its public names."""
    package = griffe.load("simnb", search_paths=[ROOT], docstring_parser="google")
    rooms = []
    for module in package.modules.values():
        if not module.is_alias and not module.name.startswith("_"):
            rooms += _read_room(module)
    return sorted(rooms, key=lambda room: (room.name.startswith(OLD), room.name))


def _read_room(module):
    """A room, and the rooms that it exports."""
    room, below = Room(module), []
    for name in map(str, module.exports):
        thing = module[name]
        if thing.is_module and name in thing.functions:  # it is meant, and not the file of the same name
            thing = thing[name]
        thing = thing.final_target if thing.is_alias else thing
        if thing.is_module:
            below += _read_room(thing)
        elif not name.startswith("__"):
            entry = Entry(name, room, thing)
            entry.members = [Entry(f"{name}.{m.name}", room, m) for m in _members_of(thing)]
            room.entries.append(entry)
    return [room, *below]


def _members_of(thing):
    """Public methods and properties of a class; none of one that derives from a public class, which has them."""
    if not thing.is_class or any(map(_is_exported, thing.mro())):
        return []
    members = {name: m for each in [*reversed(thing.mro()), thing] for name, m in each.members.items()}
    return [
        member
        for name, member in members.items()
        if not name.startswith("_")
        and name not in KERAS
        and member.docstring
        and (member.is_function or "property" in member.labels)
    ]


def _is_exported(thing):
    """Whether a room has a class as a public name, and so says of its methods what there is to say."""
    rooms, room = [], thing.module
    while room is not None and room.path != "simnb":
        rooms, room = [*rooms, room], room.parent
    return any(thing.name in map(str, room.exports or ()) for room in rooms)


def _arguments(thing):
    """The arguments as they are written in a call's definition, without the first of a method."""
    parts, keyword_only = [], False
    for argument in thing.parameters:
        kind = argument.kind.value
        if argument.name in ("self", "cls"):
            continue
        if kind == "keyword-only" and not keyword_only:
            keyword_only = True
            if not any(part.startswith("*") for part in parts):
                parts.append("*")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        kind = f": {argument.annotation}" if argument.annotation is not None else ""
        default = "" if stars or argument.default is None else f" = {argument.default}"
        parts.append(f"{stars}{argument.name}{kind}{default}")
    return parts


def _sections(thing):
    """(title, what) of a docstring: text, pairs of a name and what is said of it, or code."""
    return [_section(each) for each in thing.docstring.parse("google", **GOOGLE)]


def _section(section):
    """What a section of a docstring is called, and what is in it."""
    kind, value = section.kind.value, section.value
    if kind == "text":
        return "", value
    if kind == "admonition":
        return section.title, value.description
    if kind == "examples":
        return "Example", "\n".join(text for _, text in value)
    if kind == "returns":
        return "Returns", value[0].description
    named = [(getattr(v, "name", None) or str(v.annotation), v.description) for v in value]
    return {"parameters": "Arguments", "attributes": "Attributes"}.get(kind, kind.capitalize()), named


class Names:
    """Where a mention of a name leads, and the pages of the reference."""

    def __init__(self, rooms):
        self.rooms = rooms
        self.entries = [entry for room in rooms for entry in room.entries]
        all_of_them = [each for entry in self.entries for each in [entry, *entry.members]]
        #: By dotted name, with and without ``simnb``: the page and the anchor.
        self.pages = {each.dotted: each.page for each in all_of_them}
        self.modules = {f"simnb.{room.name}": room.page for room in rooms}
        #: (page, words) of the sections that use a name, by its dotted name.
        self.seen = {entry.dotted: [] for entry in self.entries}
        self._bare = {}
        for each in all_of_them:
            if not each.room.name.startswith(OLD):  # what two rooms have is one thing
                self._bare.setdefault(each.name, {}).setdefault(each.thing.path, each.page)

    def page_of(self, mention, *, within=(), only=False):
        """The page that a mention such as ``samplers.BalancedBatches(x, y)`` leads to, or None.

        Args:
            mention: What stands between backticks.
            within: Where names are looked for first: dotted names, such as ``index.Index``.
            only: Whether they are looked for nowhere else.
        """
        named = re.match(r"@?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\(.*\))?$", mention.strip(), re.S)
        if named is None:
            return None
        name = named[1]
        for place in within:
            if page := self.pages.get(f"{place}.{name}"):
                return page
        if only:
            return None
        if page := self.modules.get(name) or self.pages.get(name.removeprefix("simnb.")):
            return page
        # Alone, a word such as `report` may mean anything; one with a capital or a line below does not.
        pages = list(self._bare.get(name, {}).values())
        return pages[0] if len(pages) == 1 and re.search(r"[A-Z_]", name) else None

    def link(self, page, *, root, within=(), but=(), old_names=False):
        """A page in which names between backticks lead to the reference.

        Args:
            page: In HTML.
            root: The way from the page to the root of the site: empty, or ``../``.
            within: As for ``page_of``.
            but: Words that mean something else here, such as the names of arguments.
            old_names: Whether the first cell of each row of a table has names of TensorFlow Similarity.
        """

        def linked(found, **where):
            target = found[2] and found[2] not in but and self.page_of(html.unescape(found[2]), **where)
            return f'<a class="name" href="{root}{target}">{found[0]}</a>' if target else found[0]

        def old(row):
            cell = MENTIONS.sub(lambda found: linked(found, within=(OLD,), only=True), row[2])
            return row[1] + re.sub(r"<code>(.*?)</code>", r"<code >\1</code>", cell)

        page = OLD_NAMES.sub(old, page) if old_names else page
        page = MENTIONS.sub(lambda found: linked(found, within=within), page)
        return page.replace("<code >", "<code>") if old_names else page

    def typed(self, signature, entry):
        """A signature in HTML, in which types and defaults that are public names lead to them."""

        def linked(found):
            within = (entry.room.name,)
            page = self.page_of(found[0], within=within) if found[0] != entry.name else None
            return f'<a href="../{page}">{found[0]}</a>' if page else found[0]

        return re.sub(r"\b(?:\w+\.)*[A-Z]\w*", linked, html.escape(signature, quote=False))

    def text(self, text, entry):
        """A text of a docstring in HTML."""
        room, name = (entry.room, entry.name) if isinstance(entry, Entry) else (entry, None)
        within, but = [room.name], set()
        if name:
            own = name.partition(".")[0]
            within.insert(0, f"{room.name}.{own}")
            but = {own, name, *(argument.name for argument in getattr(entry.thing, "parameters", ()))}
        return self.link(_markdown(text), root="../", within=within, but=but)

    def sections(self, entry):
        """(title, HTML) of each section of an entry; of pairs a list of (name, HTML)."""
        for title, what in entry.sections():
            if title == "Example":
                yield title, highlight(what, PythonConsoleLexer(), HtmlFormatter())
            elif title == "References":
                # One starts after the address of the one before.
                parts = re.split(r"(?<=\S)\n(?=[A-Z])", re.sub(r"\n(?=https?:)", " ", what))
                yield title, self.text("\n".join(f"- {' '.join(part.split())}" for part in parts), entry)
            elif isinstance(what, list):
                yield title, [(name, self.text(said, entry)) for name, said in what]
            else:
                yield title, self.text(what, entry)

    def note(self, code, page, words):
        """Remember of the names in some code that a section of a page uses them.

        Args:
            code: Cells or blocks of Python, in order: pairs of the anchor of the section and the code.
            page: The page.
            words: What it is called.
        """
        rooms = {room.name for room in self.rooms}
        meaning = {}
        for anchor, block in code:
            try:
                tree = ast.parse(block)
            except SyntaxError:  # a magic
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "simnb":
                    below = node.module.removeprefix("simnb").removeprefix(".")
                    for name in node.names:
                        meaning[name.asname or name.name] = f"{below}.{name.name}".removeprefix(".")
            used = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Name | ast.Attribute)}
            for name in used:
                first, _, rest = name.partition(".")
                meant = meaning.get(first, first if first in rooms else None)
                seen = self.seen.get(f"{meant}.{rest}" if rest else meant)
                if seen is not None and all(before.partition("#")[0] != page for before, _ in seen):
                    seen.append((f"{page}#{anchor}" if anchor else page, words))

    def bases(self, entry):
        """The public classes that a class derives from."""
        return [other for other in self.entries if other is not entry and entry.is_kind_of(other)]

    def brief(self, entry):
        """The first sentence of an entry or a room, in HTML."""
        return re.sub(r"</?p>", "", self.text(entry.summary, entry)).strip()

    def examples(self):
        """Of each name that has one, where an example of it runs: an entry, a room, or the page of a lesson.

        Its own; one of its room that uses it; a lesson or how-to that does; that of the class which is made of it;
        and of what others give or derive from, theirs.
        """
        found = {entry.dotted: entry for entry in self.entries if entry.has_example}
        for entry in self.entries:
            used = re.compile(rf"(>>>|\.\.\.).*\b{re.escape(entry.name)}\b")
            near = [other for other in entry.room.entries if other.has_example]
            shown = [entry.room] if used.search(entry.room.text) else []
            shown += [e for e in near if any(used.search(each.text) for each in [e, *e.members])]
            shown += [page for page, _ in self.seen[entry.dotted]]
            shown += [other for other in near if other.text.startswith(f"``{entry.name}``")]
            if shown:
                found.setdefault(entry.dotted, shown[0])
        before = None
        while before != len(found):
            before = len(found)
            for entry in [entry for entry in self.entries if entry.dotted not in found]:
                for other in sorted(self.entries, key=lambda other: other.room is not entry.room):
                    if other.dotted in found and (other.gives(entry) or entry.is_kind_of(other)):
                        found.setdefault(entry.dotted, other)
        return found
