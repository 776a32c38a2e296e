// Text of models and inputs as text that is safe to show: as rollout/system/safe_text.py does it.
// Characters that control, reorder or are invisible are written as escapes, such as \u202e.

const MAX_MARKS = 8;
const JOINING = "\\u0600-\\u109f\\u1700-\\u18af\\ua800-\\uabff\\u{10a00}-\\u{11fff}\\u{1e900}-\\u{1e95f}";
const SYMBOL = "\\u2190-\\u2bff\\u{1f000}-\\u{1faff}";
const WITH_VARIANTS = "\\u00a9\\u00ae\\u203c\\u2049\\u2122\\u2139\\u3030\\u303d\\u3297\\u3299#*0-9";
const IDEOGRAPH = "\\u3400-\\u9fff\\u{20000}-\\u{323af}";
const KEPT = [
  `(?<=[${JOINING}])[\\u200c\\u200d](?=[${JOINING}])`,
  `(?<=[${SYMBOL}\\ufe0f])\\u200d(?=[${SYMBOL}])`,
  `(?<=[${SYMBOL}${WITH_VARIANTS}])[\\ufe0e\\ufe0f]`,
  `(?<=[${IDEOGRAPH}])[\\ufe00-\\ufe02\\u{e0100}-\\u{e01ef}]`,
  "(?<=[\\u1820-\\u18aa])[\\u180b-\\u180d\\u180f]",
  "(?<=\\u{1f3f4})[\\u{e0061}-\\u{e007a}]{3,6}\\u{e007f}",
].join("|");
const UNSEEN = new RegExp(
  "[\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e" +
    "\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufff8\\u{1bca0}-\\u{1bca3}" +
    "\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}]", "u");
const SEEN = /[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]/u;
const SUSPECT = new RegExp(
  `(${KEPT})|(?:(?!${KEPT})\\p{M})+|\\p{C}|\\p{Zl}|\\p{Zp}|${UNSEEN.source}`, "gu");
const PLAIN = /^[\x20-\x7e\n\t]*$/;

/** Return text with its control, reordering and invisible characters as escapes. */
function printable(text) {
  if (PLAIN.test(text)) return text;
  return text.replace(SUSPECT, (found, kept) => kept ?? shownCharacters(found));
}

function shownCharacters(found) {
  if (found === "\n" || found === "\t" || SEEN.test(found)) return found;
  let marks = 0;
  let shown = "";
  for (const character of found) {
    const isMark = /\p{M}/u.test(character) && !UNSEEN.test(character);
    marks = isMark ? marks + 1 : 0;
    shown += isMark && marks <= MAX_MARKS ? character : escaped(character);
  }
  return shown;
}

function escaped(character) {
  const number = character.codePointAt(0);
  if (character === "\r") return "\\r";
  if (number < 0x100) return "\\x" + number.toString(16).padStart(2, "0");
  if (number < 0x10000) return "\\u" + number.toString(16).padStart(4, "0");
  return "\\U" + number.toString(16).padStart(8, "0");
}
