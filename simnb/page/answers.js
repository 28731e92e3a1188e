// What follows from neighbors, labels and a threshold. No document in here.

/** Verdicts on a nearest neighbor; any other is neither. */
export const IS_WRONG = 0;
export const IS_RIGHT = 1;

/** What becomes of the images at a threshold, each asked of all others. */
export function tally(nearest, verdicts, threshold) {
  const counts = { matched: 0, right: 0, wrong: 0, rejected: 0 };
  for (let i = 0; i < nearest.length; i++) {
    if (nearest[i] > threshold) {
      counts.rejected++;
      continue;
    }
    counts.matched++;
    if (verdicts[i] === IS_RIGHT) counts.right++;
    if (verdicts[i] === IS_WRONG) counts.wrong++;
  }
  return counts;
}

/** A tally of images in words. */
export function inWords({ matched, right, wrong, rejected }, labelled) {
  const count = matched + rejected;
  const some = `for ${matched.toLocaleString("en")} of ${counted(count, "image")} (${percent(matched / count)})`;
  const within = `Each image searched among the others: ${some} the nearest lies within the threshold`;
  const judged = right + wrong;
  if (!labelled || !judged) return `${within}.`;
  const these = judged === matched ? "these" : `the ${judged.toLocaleString("en")} of these that can be judged`;
  return `${within}; for ${percent(right / judged)} of ${these} it is of the same class.`;
}

const RATES = {
  precision: "of the answers are right (precision)",
  coverage: "of the queries of known classes get an answer (coverage)",
  false_acceptance: "of the others get one too (false acceptance)",
};

/** The rates of a calibration at a threshold in words; one of nothing is NaN, and is not told. */
export function promised(rates) {
  if (!rates.coverage && !rates.false_acceptance) return "no answer at all";
  const told = Object.keys(RATES).filter((name) => Number.isFinite(rates[name]));
  return told.map((name) => `${percent(rates[name])} ${RATES[name]}`).join(", ");
}

/** Positions of the images whose nearest neighbor is of another class, the nearest first. */
export function mistakes(nearest, verdicts) {
  const found = Array.from(nearest.keys()).filter((i) => verdicts[i] === IS_WRONG);
  return found.sort((a, b) => nearest[a] - nearest[b]);
}

/** How often one class is taken for another: [own, other, count], the most frequent first. */
export function confusions(positions, labels, nearestOf) {
  const counts = new Map();
  for (const i of positions) {
    const key = `${labels[i]} ${labels[nearestOf(i)]}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const found = [...counts].map(([key, count]) => [...key.split(" ").map(Number), count]);
  return found.sort((a, b) => b[2] - a[2]);
}

/** A text as it is looked for: in small letters, each letter with its accents as one sign. */
export function plain(text) {
  return text.toLowerCase().normalize("NFC");
}

/** Positions of the images whose text, which is plain, holds every one of some words. */
export function holding(words, texts) {
  const wanted = plain(words).split(/\s+/).filter(Boolean);
  return Array.from(texts.keys()).filter((i) => wanted.every((word) => texts[i].includes(word)));
}

/** Where a page is, from the part of its address after #: a view, and the position of an image or -1. */
export function placeOf(hash, views, count) {
  const [view, image] = hash.replace(/^#/, "").split("/");
  const position = /^\d+$/.test(image ?? "") ? Number(image) : -1;
  return { view: views.includes(view) ? view : views[0], image: position < count ? position : -1 };
}

/** How many decimals tell distances apart: three digits of the one in the middle. */
export function decimalsOf(distances) {
  const sizes = distances.filter(Number.isFinite).map(Math.abs).sort();
  const middle = sizes[Math.floor(sizes.length / 2)];
  return middle > 0 ? Math.min(Math.max(2 - Math.floor(Math.log10(middle)), 0), 6) : 3;
}

/** A distance with so many decimals; without a sign where these are all 0. */
export function fixed(distance, decimals) {
  const text = distance.toFixed(decimals);
  return Number(text) ? text : (0).toFixed(decimals);
}

export function percent(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)}%` : "n/a";
}

export function counted(number, one, several = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
}
