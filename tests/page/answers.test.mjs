import assert from "node:assert/strict";
import test from "node:test";

import {
  confusions, counted, decimalsOf, fixed, holding, inWords, mistakes, percent, placeOf, plain, promised, tally,
} from "../../simnb/page/answers.js";

const NEAREST = Float32Array.from([0.1, 0.4, 0.2, 0.3]);
const VERDICTS = Uint8Array.from([1, 0, 0, 2]);

test("a threshold matches what lies at it or within, and rejects the rest", () => {
  assert.deepEqual(tally(NEAREST, VERDICTS, Math.fround(0.2)), { matched: 2, right: 1, wrong: 1, rejected: 2 });
  assert.deepEqual(tally(NEAREST, VERDICTS, Infinity), { matched: 4, right: 1, wrong: 2, rejected: 0 });
  assert.deepEqual(tally(NEAREST, VERDICTS, -Infinity), { matched: 0, right: 0, wrong: 0, rejected: 4 });
});

test("an image without a neighbor is matched by no threshold but infinity", () => {
  const none = Float32Array.from([Infinity]);
  assert.equal(tally(none, Uint8Array.from([2]), 1e30).matched, 0);
});

test("a share of right ones is of those alone that can be judged", () => {
  const counts = { matched: 8, right: 3, wrong: 1, rejected: 2 };
  const some = "Each image searched among the others: for 8 of 10 images (80.0%) the nearest lies within the threshold";
  const share = "; for 75.0% of";
  const same = "it is of the same class.";
  assert.equal(inWords(counts, true), `${some}${share} the 4 of these that can be judged ${same}`);
  assert.equal(inWords({ ...counts, right: 6, wrong: 2 }, true), `${some}${share} these ${same}`);
  assert.equal(inWords({ ...counts, right: 0, wrong: 0 }, true), `${some}.`);
  assert.equal(inWords({ ...counts, right: 6, wrong: 2 }, false), `${some}.`);
});

test("where nothing is answered no answer is called right", () => {
  assert.equal(promised({ precision: 1, coverage: 0, false_acceptance: 0 }), "no answer at all");
  assert.equal(promised({ precision: 1, coverage: 0, false_acceptance: NaN }), "no answer at all");
  assert.equal(promised({ precision: NaN, coverage: NaN, false_acceptance: NaN }), "no answer at all");
  const few = promised({ precision: 0, coverage: 0, false_acceptance: 0.25 });
  assert.match(few, /^0\.0% of the answers are right .*, 25\.0% of the others/);
  assert.equal(promised({ precision: 1, coverage: 0.5, false_acceptance: NaN }).split("%").length, 3);
});

test("mistakes are wrong neighbors, the nearest first", () => {
  assert.deepEqual(mistakes(NEAREST, VERDICTS), [2, 1]);
  assert.deepEqual(mistakes(NEAREST, Uint8Array.from([1, 1, 2, 2])), []);
});

test("mistakes of equal distance keep their order", () => {
  assert.deepEqual(mistakes(Float32Array.from([0.5, 0.5, 0.5]), Uint8Array.from([0, 0, 0])), [0, 1, 2]);
});

test("confusions are counted by class and other class, the most frequent first", () => {
  const labels = [0, 1, 1, 2];
  const nearest = { 0: 1, 1: 0, 2: 3, 3: 1 };
  const other = { 0: 3 };
  assert.deepEqual(confusions([1, 2, 3], labels, (i) => nearest[i]), [[1, 0, 1], [1, 2, 1], [2, 1, 1]]);
  assert.deepEqual(confusions([0, 1, 2], [1, 0, 0, 5], (i) => other[i] ?? 0), [[0, 1, 2], [1, 5, 1]]);
});

test("words are looked for all, anywhere and in any case", () => {
  const texts = ["cat one.png", "dog one.png", "犬 cat"];
  assert.deepEqual(holding("CAT one", texts), [0]);
  assert.deepEqual(holding(" 犬 ", texts), [2]);
  assert.deepEqual(holding("", texts), [0, 1, 2]);
  assert.deepEqual(holding("cat dog", texts), []);
});

test("a letter is found however its accent is written", () => {
  assert.deepEqual(holding("CAFE\u0301", [plain("Café"), plain("cafe\u0301"), plain("cafe")]), [0, 1]);
  assert.deepEqual(holding("café", [plain("cafe\u0301")]), [0]);
});

test("an address names a view and an image", () => {
  const views = ["map", "images"];
  assert.deepEqual(placeOf("#images/3", views, 4), { view: "images", image: 3 });
  assert.deepEqual(placeOf("#images", views, 4), { view: "images", image: -1 });
});

test("an address that names nothing that is there shows the first view and no image", () => {
  for (const hash of ["", "#", "#other/9", "#__proto__/4", "#map/-1", "#map/x", "#map/1e0", "#map/4"]) {
    assert.deepEqual(placeOf(hash, ["map", "images"], 4), { view: "map", image: -1 });
  }
});

test("distances have three digits in the middle", () => {
  assert.equal(decimalsOf(Float32Array.from([0.002, 0.0015, 1, Infinity])), 5);
  assert.equal(decimalsOf(Float32Array.from([12, 14, 30])), 1);
  assert.equal(decimalsOf(Float32Array.from([900, 1e9, 4e9])), 0);
  assert.equal(decimalsOf(Float32Array.from([-0.5, -0.4, -0.3])), 3);
});

test("distances that are all 0, or none, have some decimals too", () => {
  assert.equal(decimalsOf(Float32Array.from([0, 0])), 3);
  assert.equal(decimalsOf(Float32Array.from([Infinity])), 3);
  assert.equal(decimalsOf(new Float32Array(0)), 3);
});

test("what rounding leaves of 0 has no sign", () => {
  assert.equal(fixed(-1e-9, 3), "0.000");
  assert.equal(fixed(0.12345, 3), "0.123");
  assert.equal(fixed(-0.5, 2), "-0.50");
});

test("numbers are written as people do", () => {
  assert.equal(percent(0.9766), "97.7%");
  assert.equal(percent(NaN), "n/a");
  assert.equal(counted(1, "image"), "1 image");
  assert.equal(counted(4200, "query", "queries"), "4,200 queries");
});
