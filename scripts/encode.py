#!/usr/bin/env python3
"""From raw feature values to the ids and numbers that an exported model takes, by the encoders.json of its package.

    from encode import Encoders
    Encoders("encoders.json").encode("price", "12.50")
    Encoders("encoders.json").inputs(json.load(open("signature.json")), rows)

`encode` takes one value of a feature, `inputs` a whole request. `encode.py encoders.json ROWS.csv` prints a JSON object per row, of the
features whose columns are there. Ids are lists, as long as the feature has columns; a missing number is null. A value may be text or a
number, missing ones are None or NaN, and a sequence is text with the schema's separator or anything that has items. Numbers beyond
single precision are refused with a ValueError. This is the reference for other languages: it needs nothing but Python.
"""

import bisect
import csv
import json
import re
import struct
import sys
from decimal import Decimal

# What Unicode calls white space; Python's own strip() takes more.
SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
MISSING = {"", "NaN", "nan", "null", "NULL", "\\N"}
TRUTH = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
DECIMAL = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.([0-9]+))?([eE][+-]?[0-9]+)?", re.ASCII)
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


def canonical(value):
    """The one written form of a value; None when it is missing. 3, 3.0 and "3.00" are the same."""
    if value is None:
        return None
    text = str(value).strip(SPACES)
    if text in MISSING:
        return None
    if text in TRUTH:
        return TRUTH[text]
    number = DECIMAL.fullmatch(text)
    if not number:
        return text
    integer, fraction, exponent = number.groups()
    if exponent is None and not (fraction or "").strip("0"):
        return "0" if integer == "-0" else integer
    double = float(text)
    if double in (float("inf"), float("-inf")):
        return text
    plain = format(Decimal(repr(double)), "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain == "-0" else plain


def single(number):
    """Rounded to single precision."""
    return struct.unpack("<f", struct.pack("<f", number))[0]


def number(value):
    """A finite number in single precision; None when it is missing."""
    text = canonical(value)
    if text is None:
        return None
    if not NUMBER.fullmatch(text):
        raise ValueError(f"`{value}` is not a number")
    try:
        found = single(float(text))
    except OverflowError:
        found = float("inf")
    if found in (float("inf"), float("-inf")):
        raise ValueError(f"`{value}` is infinite in single precision")
    return found


def items(value, separator):
    """The items of a sequence: text is split, None has none, and a single value is one."""
    if value is None:
        return []
    if isinstance(value, str):
        return value.split(separator)
    try:
        return list(value)
    except TypeError:
        return [value]


def bucket(text, buckets):
    """1 + (h xor h >> 32) mod buckets, with h the 64-bit FNV-1a hash of the UTF-8 bytes."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return 1 + (h ^ h >> 32) % buckets


class Encoders:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.features = {feature["name"]: feature for feature in json.load(file)["features"]}
        for feature in self.features.values():
            (kind, fitted), = feature["fitted"].items()
            feature["kind"] = kind
            if kind == "vocabulary":
                feature["ids"] = {text: id for id, text in enumerate(fitted, 2)}
            elif kind == "buckets":
                feature["edges"] = [single(edge) for edge in fitted["edges"]]

    def encode(self, name, value):
        """Ids as a list, or a number; 0 is missing and padding, 1 a value that a vocabulary does not know."""
        feature = self.features[name]
        fitted = feature["fitted"][feature["kind"]]
        if feature["kind"] == "standardize":
            x = number(value)
            return None if x is None else single(max(-8.0, min(8.0, (x - fitted["mean"]) / fitted["deviation"])))
        if feature["kind"] == "buckets":
            x = number(value)
            return [0 if x is None else 1 + bisect.bisect_left(feature["edges"], x)]
        sequence = feature["sequence"]
        raw = [value] if sequence is None else items(value, sequence["separator"])
        texts = [text for text in map(canonical, raw) if text is not None]
        length = sequence["length"] if sequence else 1
        if feature["kind"] == "vocabulary":
            ids = [feature["ids"].get(text, 1) for text in texts]
        else:
            ids = [bucket(text, fitted["buckets"]) for text in texts]
        return (ids + [0] * length)[:length]

    def inputs(self, signature, rows):
        """A model's inputs for one request, by name, each a list of rows. `rows` are the candidates, each a dict of its raw columns;
        what a request has once is read from the first. A missing number is NaN. Inputs that no encoder fills, rows of an item table
        and embedded vectors, are left out."""
        found = {}
        for tensor in signature["tensors"]:
            if tensor.get("content", "values") == "values":
                asked = rows[:1] if tensor["rows"] == "one" else rows
                found[tensor["name"]] = [self.columns(tensor["fields"], row) for row in asked]
        return found

    def columns(self, fields, row):
        """The columns of a tensor in one of its rows."""
        columns = []
        for field in fields:
            name = field["feature"]
            value = self.encode(name, row[self.features[name]["column"]])
            columns += value if isinstance(value, list) else [float("nan") if value is None else value]
        return columns


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    encoders = Encoders(sys.argv[1])
    with open(sys.argv[2], newline="", encoding="utf-8") as rows:
        reader = csv.DictReader(rows)
        columns = {name: feature["column"] for name, feature in encoders.features.items()}
        there = {name: column for name, column in columns.items() if column in (reader.fieldnames or [])}
        if not there:
            sys.exit(f"{sys.argv[2]} has none of the columns {', '.join(sorted(set(columns.values())))}")
        for row in reader:
            print(json.dumps({name: encoders.encode(name, row[column]) for name, column in there.items()}))
