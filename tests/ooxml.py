"""Finds errors for which Excel would offer to repair a workbook, without Excel.

LibreOffice opens almost everything, but Excel does not: duplicate or unnamed parts, cells out of order, numbers of
missing styles, strings and colours, invalid names of sheets.
"""

import math
import posixpath
import re
import zipfile
from collections import Counter
from xml.etree import ElementTree

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
OFFICE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
# Of a sheet, in the order that the schema demands.
ELEMENTS = (
    "sheetPr",
    "dimension",
    "sheetViews",
    "sheetFormatPr",
    "cols",
    "sheetData",
    "conditionalFormatting",
    "printOptions",
    "pageMargins",
    "pageSetup",
    "headerFooter",
    "ignoredErrors",
    "drawing",
)
TYPES = ("cellIs", "expression")  # of conditional formats
LONGEST_TEXT, LONGEST_FOOTER, LONGEST_NAME = 32767, 255, 31
ONE_CELL = "[$]?[A-Z]{1,3}[$]?[0-9]+"
AREA = "%s(:%s)?|[$]?[A-Z]{1,3}:[$]?[A-Z]{1,3}|[$]?[0-9]+:[$]?[0-9]+" % (ONE_CELL, ONE_CELL)


def problems(path):
    """Return a sentence for each error."""
    with zipfile.ZipFile(str(path)) as archive:
        names = archive.namelist()
        found = ["%s is there twice" % name for name, n in Counter(names).items() if n > 1]
        parts = {}
        for name in names:
            try:
                parts[name] = ElementTree.fromstring(archive.read(name))
            except ElementTree.ParseError as error:
                return ["%s is no XML: %s" % (name, error)]
    found += _types(parts)
    relations = _relations(parts, found)
    sheets = _sheets(parts, relations, found)
    found += _styles(parts["xl/styles.xml"])
    for name, root in parts.items():
        if name.startswith("xl/worksheets/sheet"):
            found += ["%s: %s" % (name, sentence) for sentence in _sheet(root, parts)]
        elif name.startswith("xl/charts/chart"):
            found += ["%s: %s" % (name, sentence) for sentence in _chart(root, sheets)]
    return found


def _types(parts):
    """Check that every part has a type, and every type of a part has that part."""
    types = parts["[Content_Types].xml"]
    kinds = {child.get("Extension") for child in types if child.tag.endswith("Default")}
    named = [child.get("PartName")[1:] for child in types if child.tag.endswith("Override")]
    yield from ("the type of %s is there twice" % name for name, n in Counter(named).items() if n > 1)
    yield from ("%s has a type and is not there" % name for name in set(named) - set(parts))
    for name in set(parts) - set(named) - {"[Content_Types].xml"}:
        if name.rsplit(".")[-1] not in kinds or name.endswith(".xml"):
            yield "%s has no type of its own" % name


def _relations(parts, found):
    """Return part -> id -> the part that it refers to."""
    relations = {}
    for name, root in parts.items():
        if not name.endswith(".rels"):
            continue
        folder, _, file = name.rpartition("/_rels/")
        owner = posixpath.join(folder, file[: -len(".rels")])
        targets = relations[owner] = {}
        for relation in root:
            target = relation.get("Target")
            target = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            if relation.get("Id") in targets:
                found.append("%s: %s is there twice" % (name, relation.get("Id")))
            targets[relation.get("Id")] = target
            if relation.get("TargetMode") != "External" and target not in parts:
                found.append("%s: %s is not there" % (name, target))
    for name, root in parts.items():
        for element in root.iter():
            asked = element.get(OFFICE + "id")
            if asked is not None and asked not in relations.get(name, {}):
                found.append("%s: nothing has the id %s" % (name, asked))
    return relations


def _sheets(parts, relations, found):
    """Check names of sheets and defined names; return the names of the sheets."""
    workbook = parts["xl/workbook.xml"]
    sheets = workbook.findall("%ssheets/%ssheet" % (MAIN, MAIN))
    names = [sheet.get("name") for sheet in sheets]
    for name in names:
        if not 1 <= len(name) <= LONGEST_NAME or re.search(r"[\[\]:*?/\\]|^'|'$", name):
            found.append("no sheet can be called %r" % name)
    for keys in [name.lower() for name in names], [sheet.get("sheetId") for sheet in sheets]:
        found += ["two sheets are called %s" % key for key, n in Counter(keys).items() if n > 1]
    defined = workbook.findall("%sdefinedNames/%sdefinedName" % (MAIN, MAIN))
    places = Counter((name.get("name").lower(), name.get("localSheetId")) for name in defined)
    found += ["the name %s is defined twice" % place[0] for place, n in places.items() if n > 1]
    for name in defined:
        if int(name.get("localSheetId", 0)) >= len(names):
            found.append("the name %s is of no sheet" % name.get("name"))
        found += [
            "the name %s refers to %s" % (name.get("name"), area)
            for area in name.text.split(",")
            if not _is_reference(area, names)
        ]
    return names


def _is_reference(text, sheets):
    """Return whether a text names cells of an existing sheet."""
    matched = re.fullmatch("(?:'((?:[^']|'')+)'|([A-Za-z0-9_.]+))!(?:%s)" % AREA, text)
    return matched is not None and (matched.group(1) or matched.group(2)).replace("''", "'") in sheets


def _styles(styles):
    """Check that fonts, fills, borders and number formats of cells exist."""
    counts = {what: len(styles.find(MAIN + what)) for what in ("fonts", "fills", "borders", "cellStyleXfs")}
    for what in ("fonts", "fills", "borders", "cellXfs", "dxfs"):
        if int(styles.find(MAIN + what).get("count")) != len(styles.find(MAIN + what)):
            yield "the styles have another number of %s than they say" % what
    formats = styles.find(MAIN + "numFmts")
    own = [int(number.get("numFmtId")) for number in formats] if formats is not None else []
    if len(set(own)) != len(own):
        yield "a number format is there twice"
    for style in styles.find(MAIN + "cellXfs"):
        for key, what in (("fontId", "fonts"), ("fillId", "fills"), ("borderId", "borders"), ("xfId", "cellStyleXfs")):
            if int(style.get(key)) >= counts[what]:
                yield "a style refers to %s %s" % (key, style.get(key))
        if int(style.get("numFmtId")) >= 164 and int(style.get("numFmtId")) not in own:
            yield "a style refers to number format %s" % style.get("numFmtId")


def _sheet(root, parts):
    """Check the order of elements, rows and cells, the content of cells, and conditional formats."""
    tags = [child.tag[len(MAIN) :] for child in root]
    ranks = [ELEMENTS.index(tag) if tag in ELEMENTS else -1 for tag in tags]
    if -1 in ranks or ranks != sorted(ranks):
        yield "elements out of order: %s" % tags
    n_styles, n_colours = (len(parts["xl/styles.xml"].find(MAIN + what)) for what in ("cellXfs", "dxfs"))
    strings = parts["xl/sharedStrings.xml"].findall(MAIN + "si") if "xl/sharedStrings.xml" in parts else []
    last_row = 0
    for row in root.find(MAIN + "sheetData"):
        number, last_column = int(row.get("r")), 0
        if number <= last_row or float(row.get("ht", 0)) > 409:
            yield "row %d is out of order or too high" % number
        last_row = number
        for cell in row:
            letters, digits = re.fullmatch("([A-Z]+)([0-9]+)", cell.get("r")).groups()
            column = sum((ord(letter) - 64) * 26**power for power, letter in enumerate(reversed(letters)))
            if int(digits) != number or column <= last_column:
                yield "cell %s is out of order" % cell.get("r")
            last_column = column
            if int(cell.get("s", 0)) >= n_styles:
                yield "cell %s has style %s" % (cell.get("r"), cell.get("s"))
            sentence = _content(cell, strings)
            if sentence:
                yield "cell %s %s" % (cell.get("r"), sentence)
    last = 0
    for columns in root.iter(MAIN + "col"):
        first, last_before, last = int(columns.get("min")), last, int(columns.get("max"))
        if not last_before < first <= last <= 16384 or float(columns.get("width")) > 255:
            yield "columns %d to %d are out of order or too wide" % (first, last)
    priorities = []
    for area in root.iter(MAIN + "conditionalFormatting"):
        if not all(re.fullmatch(AREA, part) for part in area.get("sqref").split()):
            yield "colours for %s" % area.get("sqref")
        for rule in area:
            priorities.append(int(rule.get("priority")))
            formulas = [formula.text for formula in rule]
            if rule.get("type") not in TYPES or (rule.get("type") == "cellIs") != bool(rule.get("operator")):
                yield "colours by %s, %s" % (rule.get("type"), rule.get("operator"))
            if len(formulas) != 1 or not formulas[0] or int(rule.get("dxfId")) >= n_colours:
                yield "colours %s by the formula %s" % (rule.get("dxfId"), formulas)
    if len(set(priorities)) != len(priorities):
        yield "conditional formats of one priority"
    for footer in root.iter(MAIN + "oddFooter"):
        if len(footer.text) > LONGEST_FOOTER:
            yield "the footer is too long"


def _content(cell, strings):
    """Return the error in the content of a cell; None if there is none."""
    kind, value, formula = cell.get("t", "n"), cell.find(MAIN + "v"), cell.find(MAIN + "f")
    text = None if value is None else value.text
    if formula is not None and (not formula.text or formula.text.startswith("=") or not text):
        return "has a formula without a value, or none: %s" % formula.text
    if kind == "s":
        if not (text or "").isdigit() or int(text) >= len(strings):
            return "refers to text %s" % text
        return "is too long" if len("".join(strings[int(text)].itertext())) > LONGEST_TEXT else None
    if kind == "b":
        return None if text in ("0", "1") else "is neither true nor false: %s" % text
    if kind != "n":
        return "is of kind %s" % kind
    try:
        return None if text is None or math.isfinite(float(text)) else "is %s" % text
    except ValueError:
        return "is no number: %s" % text


def _chart(root, sheets):
    """Check that references name cells of sheets, and that each axis is used and crosses an existing one."""
    for reference in root.iter(CHART + "f"):
        if not _is_reference(reference.text, sheets):
            yield "it refers to %s" % reference.text
    axes = {
        axis.find(CHART + "axId").get("val"): axis.find(CHART + "crossAx").get("val")
        for axis in root.iter()
        if axis.find(CHART + "crossAx") is not None
    }
    plot = root.find("%schart/%splotArea" % (CHART, CHART))
    used = {axis.get("val") for kind in plot if kind.tag.endswith("Chart") for axis in kind.findall(CHART + "axId")}
    if not used or used != set(axes) or set(axes.values()) != set(axes):
        yield "its axes are %s, and it uses %s" % (sorted(axes.items()), sorted(used))
