// Prompts with samples as lists to search, filter and sort. Knows nothing of the page's elements.

// Verdicts that count, right or not; so does an error, unless errors are left out (errors_fail).
const JUDGED = new Set(["right", "wrong", "no_answer", "cut_off"]);
const VERDICT_NAMES = {
  __proto__: null,
  right: "right", wrong: "wrong", no_answer: "no answer", cut_off: "cut off, no answer",
  error: "not judged: error", unjudged: "not judged",
};
const FINISH_NAMES = { __proto__: null, length: "cut off" };

/** Return the prompts of a browser with the figures that they are filtered and sorted by. */
function withFacts(browser) {
  const all = browser.prompts.flatMap((prompt) => prompt.samples.flatMap((samples) => samples ?? []));
  const inTokens = all.every((sample) => sample.num_tokens != null);
  const judged = browser.errors_fail === false ? JUDGED : new Set([...JUDGED, "error"]);
  const isJudged = (sample) => judged.has(sample.verdict);
  const lengthOf = inTokens ? (sample) => sample.num_tokens : (sample) => sample.text.length;
  return {
    unit: inTokens ? "tokens" : "characters",
    lengthOf,
    isJudged,
    prompts: browser.prompts.map((prompt, position) => promptFacts(prompt, position, lengthOf, isJudged)),
    finishes: counted(all, (sample) => sample.finish_reason ?? "none"),
    verdicts: counted(all, (sample) => sample.verdict ?? ""),
    hasScores: all.some((sample) => sample.score != null && sample.score !== 0 && sample.score !== 1),
    numSamples: all.length,
  };
}

function promptFacts(prompt, position, lengthOf, isJudged) {
  const samples = prompt.samples.flatMap((list) => list ?? []);
  const lengths = samples.map(lengthOf);
  const judged = samples.filter(isJudged);
  const numRight = judged.filter((sample) => sample.verdict === "right").length;
  const scores = samples.filter((sample) => !sample.verdict && sample.score != null).map((sample) => sample.score);
  return {
    prompt, position, samples, numRight,
    numJudged: judged.length,
    passRate: judged.length ? numRight / judged.length : scores.length ? mean(scores) : null,
    meanLength: lengths.length ? mean(lengths) : null,
    longest: lengths.length ? Math.max(...lengths) : null,
    isFailed: (prompt.errors ?? []).some((error) => error != null),
    isSame: samples.length > 1 && samples.every((sample) => isSame(sample, samples[0])),
  };
}

function isSame(one, other) {
  return one.text === other.text && (one.reasoning ?? null) === (other.reasoning ?? null);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function counted(samples, keyOf) {
  const counts = new Map();
  for (const sample of samples) counts.set(keyOf(sample), (counts.get(keyOf(sample)) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

const ROW_FILTERS = {
  "": ["all rows", () => true],
  failed: ["failed rows", (row) => row.isFailed],
  mixed: ["some right, some wrong", (row) => row.numRight > 0 && row.numRight < row.numJudged],
  solved: ["all right", (row) => row.numJudged > 0 && row.numRight === row.numJudged],
  unsolved: ["none right", (row) => row.numJudged > 0 && row.numRight === 0],
  same: ["all responses equal", (row) => row.isSame],
};

const ORDERS = {
  row: ["row", (row) => row.prompt.number, 1],
  longest: ["longest response first", (row) => row.longest, -1],
  mean: ["mean length, long first", (row) => row.meanLength, -1],
  short: ["mean length, short first", (row) => row.meanLength, 1],
  hard: ["pass rate, low first", (row) => row.passRate, 1],
  easy: ["pass rate, high first", (row) => row.passRate, -1],
  failed: ["failed rows first", (row) => (row.isFailed ? 1 : 0), -1],
};

/** Return the query as a pattern that ignores case, null if it is empty. */
function patternOf(query) {
  if (!query) return null;
  return new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, (sign) => `\\${sign}`), "giu");
}

function finds(pattern, text) {
  return text != null && text.search(pattern) >= 0;
}

/** Return the rows that a filter lets through, in its order; missing values last. */
function selectRows(facts, filter) {
  const pattern = patternOf(filter.query);
  const [, isWanted] = ROW_FILTERS[filter.rows];
  const [, keyOf, direction] = ORDERS[filter.order];
  const rows = facts.prompts.filter((row) => isWanted(row) && hasMatch(row, filter, pattern, facts));
  return rows.sort((a, b) => {
    const [x, y] = [keyOf(a), keyOf(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.position - b.position;
    return direction * (x - y) || a.position - b.position;
  });
}

function hasMatch(row, filter, pattern, facts) {
  if (!pattern && !limitsSamples(filter)) return true;
  const inPrompt = pattern !== null && promptFinds(row.prompt, pattern);
  if (inPrompt && !limitsSamples(filter)) return true;
  return row.samples.some((sample) => matches(sample, filter, inPrompt ? null : pattern, facts));
}

function limitsSamples({ finish, verdict, low, high, lowScore, highScore }) {
  return finish !== "" || verdict !== "any" || [low, high, lowScore, highScore].some((limit) => limit !== null);
}

function promptFinds(prompt, pattern) {
  const turns = [prompt.messages, ...(prompt.others ?? [])].flatMap((messages) => messages ?? []);
  return turns.some(([, text]) => finds(pattern, text)) || finds(pattern, prompt.reference) ||
    (prompt.errors ?? []).some((error) => finds(pattern, error));
}

/** Whether a sample meets all limits, and has the pattern if one is given. */
function matches(sample, filter, pattern, facts) {
  const length = facts.lengthOf(sample);
  return (filter.finish === "" || (sample.finish_reason ?? "none") === filter.finish) &&
    (filter.verdict === "any" || (sample.verdict ?? "") === filter.verdict) &&
    isWithin(length, filter.low, filter.high) &&
    isWithin(sample.score ?? null, filter.lowScore, filter.highScore) &&
    (pattern === null || [sample.text, sample.reasoning, sample.extracted, sample.error].some((t) => finds(pattern, t)));
}

function isWithin(value, low, high) {
  if (low === null && high === null) return true;
  return value !== null && (low === null || value >= low) && (high === null || value <= high);
}

/** Whether a sample of a listed row is dimmed: the filter looks for others. */
function isDimmed(sample, row, filter, pattern, facts) {
  if (!pattern && !limitsSamples(filter)) return false;
  const inPrompt = pattern !== null && promptFinds(row.prompt, pattern);
  return !matches(sample, filter, inPrompt ? null : pattern, facts);
}
