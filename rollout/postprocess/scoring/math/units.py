"""Units and currencies that scorer=math converts: 5 cm is not 5 m, 90 min is 1.5 h.

An unknown unit (apples, marbles) is ignored, and so is a unit that only one of the answers has.
"""

import re
from fractions import Fraction
from functools import lru_cache

_KINDS: dict[str, dict[str, str]] = {
    "length": {
        "1": "m meter metre", "1/100": "cm centimeter centimetre", "1/1000": "mm millimeter",
        "1000": "km kilometer kilometre", "127/5000": "in inch inche", "381/1250": "ft foot feet",
        "1143/1250": "yd yard", "201168/125": "mi mile",
    },
    "time": {
        "1": "s sec second", "60": "min minute", "3600": "h hr hour", "86400": "day",
        "604800": "week", "1/1000": "ms millisecond",
    },
    "months": {"1": "month", "12": "year yr"},
    "mass": {
        "1": "g gram", "1000": "kg kilogram", "1/1000": "mg milligram", "1000000": "tonne",
        "45359237/100000": "lb lbs", "45359237/1600000": "oz ounce",
    },
    "volume": {"1": "l liter litre", "1/1000": "ml milliliter millilitre"},
    "angle": {"1": "degree deg"}, "radians": {"1": "radian rad"},
    "celsius": {"1": "celsius"}, "fahrenheit": {"1": "fahrenheit"},
    "usd": {"1": "dollar usd", "1/100": "cent"}, "eur": {"1": "euro eur"}, "gbp": {"1": "gbp"},
    "yen": {"1": "yen jpy"}, "inr": {"1": "rupee inr"}, "yuan": {"1": "yuan rmb cny"},
    "energy": {"1": "joule J", "1000": "kJ kilojoule"}, "power": {"1": "watt W", "1000": "kW"},
    "force": {"1": "newton N"}, "charge": {"1": "coulomb"}, "frequency": {"1": "hertz Hz"},
    "voltage": {"1": "volt V"}, "current": {"1": "ampere"}, "amount": {"1": "mol mole"},
    "pressure": {"1": "Pa pascal", "1000": "kPa"}, "kelvin": {"1": "K kelvin"},
}  # fmt: skip
_UNITS = {
    name: (kind, Fraction(factor))
    for kind, factors in _KINDS.items()
    for factor, names in factors.items()
    for name in names.split()
}
CURRENCIES = {"$": "dollar", "€": "euro", "£": "gbp", "¥": "yen", "₹": "rupee", "US$": "dollar"}
_SPELLED = {"mph": "mile/hour", "kmh": "km/h", "kph": "km/h", "cc": "cm^3", "sqft": "ft^2"}
SYMBOLS = {"m", "s", "g", "h", "l", "L", "J", "W", "N", "V", "K"}  # units of one letter: 5 m
_PART = re.compile(r"([A-Za-z]+)(?:\^?\{?([-+]?\d)\}?)?")


@lru_cache(maxsize=4096)
def measure(unit: str) -> tuple[tuple[tuple[str, int], ...], Fraction] | None:
    """Return a unit's dimensions with their powers, and its size; None if it is unknown."""
    text = re.sub(r"\bsq(?:uare)?\.?\s+([A-Za-z]+)", r"\1^2", unit.strip().strip("."))
    text = re.sub(r"\bcu(?:bic)?\.?\s+([A-Za-z]+)", r"\1^3", text)
    text = re.sub(r"\b([A-Za-z]+)\s+squared\b", r"\1^2", text)
    text = re.sub(r"\b([A-Za-z]+)\s+cubed\b", r"\1^3", text)
    text = re.sub(r"\s+per\s+|\s*\\?/\s*", "/", text)
    text = _SPELLED.get(text.lower(), text)
    kinds: dict[str, int] = {}
    size = Fraction(1)
    for i, side in enumerate(text.split("/")):
        sign = -1 if i else 1
        for word in re.split(r"\s*\\cdot\s*|\s*\*\s*|\s+", side.strip()):
            found = _PART.fullmatch(word)
            known = found and _known(found[1])
            if not found or not known:
                return None
            power = sign * int(found[2] or 1)
            kinds[known[0]] = kinds.get(known[0], 0) + power
            size *= known[1] ** power
    return tuple(sorted(kinds.items())), size


def _known(word: str) -> tuple[str, Fraction] | None:
    lower = word.lower()
    forms = (word, lower, lower.removesuffix("s"), lower.removesuffix("es"))
    return next((_UNITS[form] for form in forms if form in _UNITS), None)
